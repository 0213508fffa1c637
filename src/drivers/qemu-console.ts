import {randomBytes} from 'node:crypto'
import {
  appendFile,
  open,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
  type FileHandle,
} from 'node:fs/promises'
import {connect} from 'node:net'
import {basename, join} from 'node:path'
import {addAbortSignal} from 'node:stream'
import {z} from 'zod'
import {plainLine} from './console-line.ts'
import {DriverError} from './port.ts'
import type {MachineFiles} from './qemu-config.ts'
import type {QemuProcess} from './qemu-process.ts'

/*
 * QEMU writes all console output of a run into a log of its own, with nobody attached. The log's name is new for every
 * run and is read from the command line of the living process, so what an earlier run printed can never make this one
 * look ready. Within a run, a reboot or a cut of an overlong log leaves a mark: what counts begins there.
 */

const logBytesMax = 8 * 1024 * 1024
const tailBytesMax = 256 * 1024
const linesMax = 1000
const runsKept = 2

/** A name for the log of the run about to begin. Removes the logs of all but the last runs. */
export async function newLogPath(files: MachineFiles): Promise<string> {
  const old = (await logsOf(files)).slice(0, -(runsKept - 1))
  for (const name of old) await rm(join(files.runDir, name), {force: true})
  const time = String(Date.now()).padStart(15, '0')
  return join(files.runDir, `${files.key}-${time}-${randomBytes(4).toString('hex')}.log`)
}

/** The log of the latest run, whether it still runs or not; null when there was none. */
export async function lastLogPath(files: MachineFiles): Promise<string | null> {
  const last = (await logsOf(files)).at(-1)
  return last === undefined ? null : join(files.runDir, last)
}

/** The last lines of a log, oldest first, as plain text. */
export async function tailOf(logPath: string, lines: number): Promise<readonly string[]> {
  const count = Math.min(Math.floor(lines), linesMax)
  if (!(count > 0)) return []
  const size = await sizeOf(logPath)
  if (size === 0) return []
  const from = Math.max(0, size - tailBytesMax)
  const all = (await readRange(logPath, from, size)).split('\n')
  // A tail that begins inside a line, and the line not yet finished when it is empty, are no lines.
  if (from > 0) all.shift()
  if (all.at(-1) === '') all.pop()
  return all.slice(-count).map(plainLine)
}

/** Says whether the guest has printed its ready line since it last booted. */
export type ReadyProbe = (process: QemuProcess) => Promise<boolean>

/**
 * A probe that remembers a yes, so that the log is not read for ever. The memory is tied to the text of the mark: once
 * anybody marks a reboot, also another program, it counts for nothing.
 */
export function readyProbe(files: MachineFiles, readyPattern: string): ReadyProbe {
  let readyKey: string | null = null
  return async ({logPath}) => {
    const markText = await readIfThere(files.mark)
    const mark = markFor(logPath, markText)
    const key = `${logPath}\n${markText ?? ''}`
    const size = await sizeOf(logPath)
    if (mark.ready || (readyKey !== key && (await hasReadyLine(logPath, mark.offset, size, readyPattern))))
      readyKey = key
    const ready = readyKey === key
    if (size > logBytesMax) await cutLog(files, logPath, ready)
    return ready
  }
}

/** Says that nothing printed so far speaks of the boot that begins now. */
export async function markReboot(files: MachineFiles, {logPath}: QemuProcess): Promise<void> {
  await writeMark(files, {log: basename(logPath), offset: await sizeOf(logPath), ready: false, id: newMarkId()})
}

/** Types one line on the guest's console; resolves once the guest's serial port has taken all of it. */
export async function typeLine(
  files: MachineFiles,
  line: string,
  {timeoutMs, signal}: {readonly timeoutMs: number; readonly signal: AbortSignal},
): Promise<void> {
  const bound = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const socket = addAbortSignal(bound, connect({path: files.console}))
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.once('close', resolve)
      // The guest's output comes here as well while we are connected; the log has it.
      socket.resume()
      // QEMU hangs up only after it has read to the end, and hanging up first could lose what it has not read.
      socket.end(`${line}\n`)
    })
  } catch {
    const reason = bound.aborted ? 'does not take input' : 'cannot be reached'
    throw new DriverError('transient', `the machine's console ${reason}`)
  } finally {
    socket.destroy()
  }
}

const markSchema = z.object({log: z.string(), offset: z.int().min(0), ready: z.boolean(), id: z.string()})
type Mark = z.infer<typeof markSchema>

function markFor(logPath: string, text: string | null): {readonly offset: number; readonly ready: boolean} {
  const none = {offset: 0, ready: false}
  if (text === null) return none
  const mark = markSchema.parse(JSON.parse(text))
  return mark.log === basename(logPath) ? mark : none
}

async function writeMark(files: MachineFiles, mark: Mark): Promise<void> {
  const draft = `${files.mark}.${mark.id}`
  await writeFile(draft, JSON.stringify(mark))
  await rename(draft, files.mark)
}

function newMarkId(): string {
  return randomBytes(6).toString('hex')
}

/** A guest that prints without end must not fill the disk. QEMU appends, so the file can be emptied under its pen. */
async function cutLog(files: MachineFiles, logPath: string, ready: boolean): Promise<void> {
  await writeMark(files, {log: basename(logPath), offset: 0, ready, id: newMarkId()})
  await truncate(logPath)
  await appendFile(logPath, '[the console log grew too long and was cut here]\n')
}

async function hasReadyLine(logPath: string, from: number, size: number, pattern: string): Promise<boolean> {
  const pieces = pattern.split('*')
  for (let rest = '', at = from; at < size; at += tailBytesMax) {
    const lines = (rest + (await readRange(logPath, at, Math.min(size, at + tailBytesMax)))).split('\n')
    rest = (lines.pop() ?? '').slice(0, 4000)
    if (lines.some(line => matches(plainLine(line), pieces))) return true
  }
  return false
}

/** Whether the line consists of the pieces with any text between. Linear in the line's length, unlike a regular expression. */
function matches(line: string, pieces: readonly string[]): boolean {
  const [first = '', ...others] = pieces
  const last = others.pop()
  if (last === undefined) return line === first
  if (!line.startsWith(first)) return false
  let at = first.length
  for (const piece of others) {
    const found = line.indexOf(piece, at)
    if (found === -1) return false
    at = found + piece.length
  }
  return line.length - last.length >= at && line.endsWith(last)
}

async function logsOf(files: MachineFiles): Promise<readonly string[]> {
  const names = (await readdir(files.runDir)).filter(name => name.startsWith(`${files.key}-`) && name.endsWith('.log'))
  return names.sort()
}

async function readRange(path: string, from: number, to: number): Promise<string> {
  let file: FileHandle | null = null
  try {
    file = await open(path, 'r')
    const buffer = Buffer.alloc(to - from)
    const {bytesRead} = await file.read(buffer, 0, buffer.length, from)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file?.close()
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
