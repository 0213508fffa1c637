import {readdirSync, readFileSync} from 'node:fs'
import {rm} from 'node:fs/promises'
import {join} from 'node:path'
import {afterEach, beforeEach, expect, test} from 'vitest'

import {verifyLogFile} from '../../src/embedded-node/log-file.ts'
import {readStreamPage} from '../../src/embedded-node/reader.ts'
import type {AppendWrite, ProposedEvent, StoredEvent} from '../../src/embedded-node/records.ts'
import {openStore, type Store} from '../../src/embedded-node/store.ts'
import {temporaryFolder} from '../support/store.ts'

let dataDir: string
let store: Store
let nowMs: number
// What is in the files is the same; how surely it is there is shown elsewhere.
const open = (): Store => openStore(dataDir, () => nowMs, {storage: 'unsynced'})
beforeEach(async () => {
  dataDir = await temporaryFolder()
  nowMs = 1_000_000
  store = open()
})
afterEach(async () => {
  store.close()
  await rm(dataDir, {recursive: true, force: true})
})

let ids = 0
function event(text: string): ProposedEvent {
  const id = Buffer.alloc(16)
  id.writeUInt32BE(++ids)
  return {id, type: 'Tested', isJson: true, data: Buffer.from(text), metadata: Buffer.from(`meta of ${text}`)}
}
const append = (stream: string, ...texts: readonly string[]): AppendWrite => ({
  kind: 'append',
  stream,
  expected: 'any',
  events: texts.map(event),
})
const limit = (stream: string, metadata: object): AppendWrite => append(`$$${stream}`, JSON.stringify(metadata))
/** So that nothing of interest is the last event of the log, which is never removed. */
const more = (): unknown => store.commit([append('more', 'more')])

/** Scavenges to the end, as the node does it in the background. Answers how many events were removed. */
function scavenge(): number {
  let removed = 0
  for (let from: number | null = 0; from !== null;) {
    const page = store.limitedStreams(from)
    for (const stream of page.streams) {
      for (let isDone = false; !isDone;) {
        const batch = store.removeHidden(stream)
        removed += batch.events
        isDone = batch.isDone
      }
    }
    from = page.next
  }
  expect(store.emptyWriteAheadLog()).toBe(true)
  return removed
}

const textOf = ({data}: StoredEvent): string => Buffer.from(data).toString('utf8')
function all(): readonly StoredEvent[] {
  const events: StoredEvent[] = []
  for (;;) {
    const page = store.readAll('forwards', events.at(-1)?.position ?? 0, 1000)
    if (page.length === 0) return events
    events.push(...page)
  }
}
const textsOf = (stream: string): readonly string[] =>
  all()
    .filter(one => one.stream === stream)
    .map(textOf)

test.each<[string, number, (stream: string) => readonly unknown[], readonly string[]]>([
  ['nothing, without limits', 0, () => [], ['a', 'b', 'c', 'd']],
  ['what $maxCount hides', 2, stream => [limit(stream, {$maxCount: 2})], ['c', 'd']],
  ['what $tb hides', 3, stream => [limit(stream, {$tb: 3})], ['d']],
  ['all that $tb hides, the last event too', 4, stream => [limit(stream, {$tb: 9})], []],
  ['what the narrower of two limits hides', 3, stream => [limit(stream, {$tb: 1, $maxCount: 1})], ['d']],
  ['older metadata', 3, stream => [limit(stream, {$maxCount: 9}), limit(stream, {$maxCount: 2})], ['c', 'd']],
  ['a stream that is deleted softly', 4, stream => [{kind: 'softDelete', stream, expected: 'any'}], []],
  ['a tombstoned stream but for its tombstone', 4, stream => [{kind: 'tombstone', stream, expected: 'any'}], ['']],
])('removes %s', (_name, expected, rules, left) => {
  store.commit([append('other', '1'), append('s', 'a', 'b', 'c', 'd'), append('other', '2')])
  for (const write of rules('s')) store.commit([write as AppendWrite])
  more()
  const others = all().filter(one => one.stream !== 's')
  const before = store.state('s')
  expect(scavenge()).toBe(expected)
  expect(textsOf('s')).toEqual(left)
  expect(all().filter(one => !one.stream.endsWith('s'))).toEqual(others.filter(one => one.stream !== '$$s'))
  expect(scavenge()).toBe(0)
  store.close()
  store = open()
  expect(textsOf('s')).toEqual(left)
  expect(store.state('s')).toEqual(before)
})

test('removes the metadata of a tombstoned stream as well', () => {
  store.commit([append('s', 'a'), limit('s', {$maxCount: 5, owner: 'Ada'}), append('s', 'b')])
  store.commit([{kind: 'tombstone', stream: 's', expected: 'any'}])
  more()
  expect(scavenge()).toBe(3)
  expect(textsOf('$$s')).toEqual([])
  expect(store.commit([append('$$s', '{}')]).outcomes).toEqual([{type: 'streamDeleted'}])
})

test('removes what has grown too old, and not what follows something younger', () => {
  store.commit([append('s', 'old'), limit('s', {$maxAge: 10})])
  nowMs += 8_000
  store.commit([append('s', 'young')])
  // The clock was set back.
  nowMs -= 8_000
  store.commit([append('s', 'behind')])
  more()
  nowMs = 1_009_999
  expect(scavenge()).toBe(0)
  nowMs = 1_010_001
  expect(scavenge()).toBe(1)
  expect(textsOf('s')).toEqual(['young', 'behind'])
  nowMs = 1_018_001
  expect(scavenge()).toBe(2)
  expect(store.state('s')).toMatchObject({lastRevision: 2})
})

test('never removes the last event of the log, by which readers know the end', () => {
  store.commit([limit('s', {$maxAge: 10}), append('s', 'only')])
  nowMs += 60_000
  expect(scavenge()).toBe(0)
  more()
  expect(scavenge()).toBe(1)
})

test('neither a revision nor a position is used again', () => {
  store.commit([append('s', 'a', 'b'), {kind: 'softDelete', stream: 's', expected: 'any'}])
  const last = store.lastPosition()
  expect(scavenge()).toBe(2)
  store.close()
  store = open()
  expect(store.lastPosition()).toBe(last)
  expect(store.commit([append('s', 'c')]).outcomes).toEqual([{type: 'done', revision: 2, position: last + 1}])
  const {events} = readStreamPage(store, 's', 'forwards', 0, nowMs)
  expect(events.map(one => [one.revision, textOf(one)])).toEqual([[2, 'c']])
})

test('readers go on behind holes of any size, in both directions', () => {
  const kept: number[] = []
  for (let round = 0; round < 30; round++) {
    store.commit([append(`gone-${round}`, ...Array.from({length: round * 20}, () => 'gone'))])
    store.commit([append('kept', 'kept')])
    kept.push(store.lastPosition())
  }
  for (let round = 1; round < 30; round++)
    store.commit([{kind: 'softDelete', stream: `gone-${round}`, expected: 'any'}])
  expect(scavenge()).toBe((20 * 29 * 30) / 2)
  for (const direction of ['forwards', 'backwards'] as const) {
    const positions: number[] = []
    for (let at = direction === 'forwards' ? 0 : Number.MAX_SAFE_INTEGER; ;) {
      const page = store.readAll(direction, at, 7)
      if (page.length === 0) break
      positions.push(...page.filter(one => one.stream === 'kept').map(({position}) => position))
      at = page.at(-1)?.position ?? 0
    }
    expect(direction === 'forwards' ? positions : positions.toReversed()).toEqual(kept)
  }
})

/** The same sequence at every run. */
function chances(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const marksIn = (text: string): ReadonlySet<string> => new Set(text.match(/<\d+>/g))

test.each([1, 2, 3])('no byte of what was removed is left in any file, whatever was beside it (%i)', seed => {
  const chance = chances(seed)
  const streams = new Set<string>()
  const removed: number[] = []
  for (let round = 0; round < 400; round++) {
    const stream = `s-${Math.floor(chance() * 40)}`
    const mark = `<${round}>`
    // From many in a page to one in several pages.
    store.commit([append(stream, mark.repeat(Math.ceil(10 ** (1 + chance() * 3.3)) / mark.length))])
    streams.add(stream)
    if (chance() < 0.1) {
      const [deleted = ''] = [...streams].slice(Math.floor(chance() * streams.size))
      streams.delete(deleted)
      store.commit([{kind: chance() < 0.9 ? 'softDelete' : 'tombstone', stream: deleted, expected: 'any'}])
    }
    if (chance() < 0.05) removed.push(scavenge())
  }
  more()
  removed.push(scavenge())
  expect(removed.reduce((sum, count) => sum + count)).toBeGreaterThan(100)
  const before = all()
  const files = readdirSync(dataDir).map(name => readFileSync(join(dataDir, name), 'latin1'))
  expect(marksIn(files.join('\n'))).toEqual(marksIn(before.map(textOf).join('\n')))
  store.close()
  expect(verifyLogFile(join(dataDir, 'events.sqlite')).events).toBe(before.length)
  store = open()
  const placed = (one: StoredEvent): string => `${one.position} ${one.stream} ${one.revision} ${textOf(one)}`
  expect(all().map(placed)).toEqual(before.map(placed))
})

test('what a batch takes is bounded by number and by bytes', () => {
  store.commit([append('many', ...Array.from({length: 1000}, () => 'x')), limit('many', {$tb: 1000})])
  store.commit([append('large', ...Array.from({length: 8}, () => 'x'.repeat(150_000))), limit('large', {$tb: 8})])
  expect(store.removeHidden('many')).toEqual({events: 256, isDone: false})
  expect(store.removeHidden('large')).toEqual({events: 4, isDone: false})
  expect(store.removeHidden('large')).toEqual({events: 4, isDone: true})
})
