import {rm} from 'node:fs/promises'
import {afterEach, beforeEach, expect, test} from 'vitest'

import {readStreamPage} from '../../src/embedded-node/reader.ts'
import type {AppendWrite, Expected, ProposedEvent} from '../../src/embedded-node/records.ts'
import {openStore, type Store} from '../../src/embedded-node/store.ts'
import {createTail} from '../../src/embedded-node/tail.ts'
import {twoGenerationCache} from '../../src/embedded-node/two-generation-cache.ts'
import {temporaryFolder} from '../support/store.ts'

let dataDir: string
let store: Store
let nowMs: number
beforeEach(async () => {
  dataDir = await temporaryFolder()
  nowMs = 1_000_000
  store = openStore(dataDir, () => nowMs)
})
afterEach(async () => {
  store.close()
  await rm(dataDir, {recursive: true, force: true})
})

let ids = 0
function event(text: string): ProposedEvent {
  const id = Buffer.alloc(16)
  id.writeUInt32BE(++ids)
  return {id, type: 'Tested', isJson: true, data: Buffer.from(text), metadata: Buffer.alloc(0)}
}
const write = (stream: string, expected: Expected, ...events: readonly ProposedEvent[]): AppendWrite => ({
  kind: 'append',
  stream,
  expected,
  events,
})

test('writes of one group see each other, in order', () => {
  const first = event('1')
  const {outcomes, events} = store.commit([
    write('s', 'noStream', first, event('2')),
    write('s', 'noStream', event('3')),
    write('s', 'noStream', first),
    write('s', 1, event('4')),
    {kind: 'softDelete', stream: 's', expected: 2},
    write('s', 'noStream', event('5')),
    {kind: 'tombstone', stream: 's', expected: 'any'},
    write('s', 'any', event('6')),
  ])
  expect(outcomes.map(outcome => [outcome.type, 'revision' in outcome ? outcome.revision : null])).toEqual([
    ['done', 1],
    ['wrongRevision', null],
    ['done', 0],
    ['done', 2],
    ['done', 2],
    ['done', 3],
    ['done', Number.MAX_SAFE_INTEGER],
    ['streamDeleted', null],
  ])
  expect(events.map(({position}) => position)).toEqual(events.map((_, index) => index + 2))
})

test('$maxAge hides what is older, by the time the store recorded', () => {
  store.commit([write('s', 'any', event('old')), write('$$s', 'any', event('{"$maxAge":10}'))])
  nowMs += 8_000
  store.commit([write('s', 'any', event('new'))])
  const revisionsAt = (atMs: number) => readStreamPage(store, 's', 'forwards', 0, atMs).events.map(one => one.revision)
  expect(revisionsAt(nowMs)).toEqual([0, 1])
  expect(revisionsAt(1_010_001)).toEqual([1])
  expect(revisionsAt(1_018_001)).toEqual([])
})

test('metadata that is no JSON object, or has nonsense for limits, hides nothing', () => {
  store.commit([write('s', 'any', event('1'), event('2'))])
  for (const text of ['', 'x', '[]', 'null', '{"$tb":"2"}', '{"$maxCount":-1}', '{"$maxAge":null}']) {
    store.commit([write('$$s', 'any', event(text))])
    expect(readStreamPage(store, 's', 'forwards', 0, nowMs).events).toHaveLength(2)
  }
})

test('what is read after a restart is what was read before', () => {
  const streams = ['a', 'b', 'ů🐎']
  for (let index = 0; index < 30; index++) store.commit([write(streams[index % 3] ?? '', 'any', event(`${index}`))])
  const before = store.readAll('forwards', 0, 1000)
  store.close()
  store = openStore(dataDir, () => nowMs)
  const after = store.readAll('forwards', 0, 1000)
  expect(after).toEqual(before)
  expect(store.readAll('backwards', Number.MAX_SAFE_INTEGER, 1000).toReversed()).toEqual(before)
  expect(store.state('b')).toMatchObject({lastRevision: 9})
})

test('the tail gives the same events from memory and from the log, at every position', () => {
  const tail = createTail(store)
  const append = (count: number): void => {
    const writes = Array.from({length: count}, (_, index) => write('s', 'any', event(`${index}`)))
    tail.committed(store.commit(writes).events)
  }
  append(300)
  // More than the tail keeps, so that its older half is given up.
  for (let round = 0; round < 30; round++) append(300)
  const all = store.readAll('forwards', 0, 100_000)
  expect(all).toHaveLength(9301)
  for (let position = 0; position <= all.length; position += 97) {
    const positions = tail.after(position, 64).map(one => one.position)
    expect(positions).toEqual(all.slice(position, position + 64).map(one => one.position))
  }
  expect(tail.after(all.length, 64)).toEqual([])
})

test('an append of very many small events is one append', () => {
  const events = Array.from({length: 200_000}, () => event(''))
  expect(store.commit([write('s', 'noStream', ...events.slice(0, 1))]).outcomes).toMatchObject([{type: 'done'}])
  expect(store.commit([{kind: 'append', stream: 's', expected: 0, events: events.slice(1)}]).outcomes).toEqual([
    {type: 'done', revision: 199_999, position: 200_001},
  ])
})

test('a page of large events is cut short, and the next one goes on behind it', () => {
  for (let index = 0; index < 12; index++) store.commit([write('s', 'any', event('x'.repeat(200_000)))])
  let position = store.lastPosition() - 12
  const sizes: number[] = []
  while (position < store.lastPosition()) {
    const page = store.readAll('forwards', position, 256)
    sizes.push(page.length)
    position = page.at(-1)?.position ?? Infinity
  }
  expect(sizes).toEqual([3, 3, 3, 3])
})

test('a cache keeps what is used and forgets the rest', () => {
  const cache = twoGenerationCache<number, number>(10)
  cache.set(-1, 1)
  for (let key = 0; key < 1000; key++) {
    cache.set(key, key)
    expect(cache.get(-1)).toBe(1)
  }
  expect(cache.get(999)).toBe(999)
  expect(cache.get(0)).toBeUndefined()
  const kept = Array.from({length: 1000}, (_, key) => cache.get(key)).filter(value => value !== undefined)
  expect(kept.length).toBeLessThanOrEqual(20)
})
