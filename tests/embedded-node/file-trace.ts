/**
 * What a traced program did to its files, and what of it a power cut at any moment could have left: everything that was
 * synced, and of the rest any part, down to single sectors.
 */
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {readFileSync} from 'node:fs'
import {basename} from 'node:path'

export type Step =
  | {readonly type: 'write'; readonly file: string; readonly at: number; readonly bytes: Buffer}
  | {readonly type: 'truncate'; readonly file: string; readonly size: number}
  | {readonly type: 'synced'; readonly file: string}
  /** A line was written to the file of acknowledgements. */
  | {readonly type: 'line'; readonly text: string}

/** Runs a Node program under strace until it ends; answers its steps on the given files, in their order. */
export async function trace(
  program: readonly string[],
  files: readonly string[],
  lineFile: string,
  traceFile: string,
): Promise<readonly Step[]> {
  const calls = 'trace=pwrite64,write,fsync,fdatasync,ftruncate'
  const paths = [...files, lineFile].flatMap(file => ['-P', file])
  const options = ['-f', '--seccomp-bpf', '-y', '-xx', '-s', '1000000', '-e', calls, ...paths, '-o', traceFile]
  const child = spawn('strace', [...options, process.execPath, '--disable-warning=ExperimentalWarning', ...program], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  await once(child, 'close')
  const begun = new Map<string, string>()
  return readFileSync(traceFile, 'latin1')
    .split('\n')
    .flatMap(line => stepsOf(line, begun, basename(lineFile)))
}

/** A call that another thread interrupts takes two lines: writes count from the first on, a sync with the second. */
function stepsOf(line: string, begun: Map<string, string>, lineFile: string): readonly Step[] {
  const resumed = /^(\d+) +<\.\.\. (\w+) resumed>/.exec(line)
  if (resumed !== null) {
    const [, thread = '', call = ''] = resumed
    const file = begun.get(thread) ?? ''
    begun.delete(thread)
    return call.startsWith('f') && call.endsWith('sync') && line.endsWith('= 0') ? [{type: 'synced', file}] : []
  }
  const match = /^(\d+) +(\w+)\(\d+<([^>]*)>(?:, )?(.*)$/.exec(line)
  if (match === null) return []
  const [, thread = '', call = '', name = '', rest = ''] = match
  const file = basename(bytesOf(name).toString())
  const isUnfinished = line.endsWith('<unfinished ...>')
  if (isUnfinished) begun.set(thread, file)
  switch (call) {
    case 'fsync':
    case 'fdatasync':
      return isUnfinished || !line.endsWith('= 0') ? [] : [{type: 'synced', file}]
    case 'ftruncate':
      return [{type: 'truncate', file, size: Number.parseInt(rest)}]
    case 'write':
      return file === lineFile ? [{type: 'line', text: dataOf(rest).toString()}] : []
    case 'pwrite64':
      return [{type: 'write', file, at: Number(/", \d+, (\d+)/.exec(rest)?.[1]), bytes: dataOf(rest)}]
    default:
      return []
  }
}

const dataOf = (text: string): Buffer => bytesOf(text.slice(1, text.indexOf('"', 1)))

const bytesOf = (escaped: string): Buffer =>
  escaped.startsWith('\\x') ? Buffer.from(escaped.replaceAll('\\x', ''), 'hex') : Buffer.from(escaped)

export type Image = ReadonlyMap<string, Buffer>

type Change = Extract<Step, {readonly type: 'write' | 'truncate'}>

/** How much of what was not synced is there after the power cut. */
export type Luck = 'nothing' | 'everything' | 'some writes' | 'some sectors'

const SECTOR_BYTES = 512

/** The files after a power cut behind the first `count` steps. `chance` answers 0 to 1. */
export function imageAfter(
  base: Image,
  steps: readonly Step[],
  count: number,
  luck: Luck,
  chance: () => number,
): Image {
  const files = new Map<string, Buffer>([...base].map(([name, content]) => [name, Buffer.from(content)]))
  const unsynced = new Map<string, Change[]>()
  const apply = (change: Change): void => {
    const content = files.get(change.file) ?? Buffer.alloc(0)
    files.set(change.file, change.type === 'write' ? written(content, change) : resized(content, change.size))
  }
  for (const step of steps.slice(0, count)) {
    if (step.type === 'synced') {
      for (const change of unsynced.get(step.file) ?? []) apply(change)
      unsynced.delete(step.file)
      // A synced file is there, if only empty.
      files.set(step.file, files.get(step.file) ?? Buffer.alloc(0))
    } else if (step.type !== 'line') {
      const changes = unsynced.get(step.file) ?? []
      changes.push(step)
      unsynced.set(step.file, changes)
    }
  }
  for (const change of [...unsynced.values()].flat()) {
    if (luck === 'everything') apply(change)
    else if (luck === 'some writes' && chance() < 0.5) apply(change)
    else if (luck === 'some sectors') for (const part of sectorsOf(change)) if (chance() < 0.5) apply(part)
  }
  return files
}

function sectorsOf(change: Change): readonly Change[] {
  if (change.type === 'truncate') return [change]
  const parts: Change[] = []
  for (let from = 0; from < change.bytes.length;) {
    const to = Math.min(change.bytes.length, from + SECTOR_BYTES - ((change.at + from) % SECTOR_BYTES))
    parts.push({...change, at: change.at + from, bytes: change.bytes.subarray(from, to)})
    from = to
  }
  return parts
}

function resized(content: Buffer, size: number): Buffer {
  const next = Buffer.alloc(size)
  content.copy(next)
  return next
}

function written(content: Buffer, {at, bytes}: Extract<Change, {readonly type: 'write'}>): Buffer {
  const next = content.length >= at + bytes.length ? content : resized(content, at + bytes.length)
  bytes.copy(next, at)
  return next
}
