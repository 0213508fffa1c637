import {readdirSync, statSync, writeFileSync} from 'node:fs'
import {rm} from 'node:fs/promises'
import {join} from 'node:path'
import {afterEach, beforeEach, expect, test} from 'vitest'

import type {AppendWrite, StoredEvent} from '../../src/embedded-node/records.ts'
import {openStore, type Store} from '../../src/embedded-node/store.ts'
import {temporaryFolder} from '../support/store.ts'
import {launchTool, runTool, toolPaths} from './run-tool.ts'

let data: string
let events: string
beforeEach(async () => {
  data = await temporaryFolder()
  events = join(data, 'events')
})
afterEach(async () => {
  await rm(data, {recursive: true, force: true})
})

const open = (): Store => openStore(events, () => 0, {storage: 'unsynced'})
const logBytes = (): number => statSync(join(events, 'events.sqlite')).size
const compact = () => runTool(toolPaths.compact, ['--data', data])

let ids = 0
function write(stream: string, bytes: number): AppendWrite {
  const id = Buffer.alloc(16)
  id.writeUInt32BE(++ids)
  const event = {id, type: 'Tested', isJson: false, data: Buffer.alloc(bytes, ids), metadata: Buffer.alloc(0)}
  return {kind: 'append', stream, expected: 'any', events: [event]}
}

function contentOf(store: Store): readonly unknown[] {
  const all: StoredEvent[] = []
  for (;;) {
    const page = store.readAll('forwards', all.at(-1)?.position ?? 0, 1000)
    if (page.length === 0) return all.map(event => [event.position, event.stream, event.revision, event.data.join()])
    all.push(...page)
  }
}

/** A log of which most was removed. Answers what is left. */
function fill(count: number): readonly unknown[] {
  const store = open()
  for (let number = 0; number < count; number++) store.commit([write('gone', 400), write('kept', 40)])
  store.commit([{kind: 'softDelete', stream: 'gone', expected: 'any'}])
  while (!store.removeHidden('gone').isDone);
  store.emptyWriteAheadLog()
  const content = contentOf(store)
  store.close()
  return content
}

test('gives back the room of removed events; what is left keeps its place, and nothing of the rest comes back', async () => {
  const before = fill(2000)
  const bytesBefore = logBytes()
  const {status, output} = await compact()
  expect(output).toMatch(/^Compacted from \d+ to \d+ bytes and checked: 2002 events in 4 streams up to position 4002/)
  expect(status).toBe(0)
  expect(logBytes()).toBeLessThan(bytesBefore / 3)
  expect(readdirSync(events).toSorted()).toEqual(['events.sqlite', 'node.lock'])
  const store = open()
  expect(contentOf(store)).toEqual(before)
  expect(store.commit([write('gone', 10)]).outcomes).toMatchObject([{revision: 2000, position: 4003}])
  store.close()
})

test('says what to do when there is no log, and when a node works in the folder', async () => {
  expect(await compact()).toMatchObject({status: 1, output: expect.stringContaining('There is no event log')})
  const store = open()
  expect(await compact()).toMatchObject({status: 1, output: expect.stringContaining('Stop it first')})
  store.close()
})

test('killed at any time it has done nothing or all', async () => {
  const before = fill(20_000)
  writeFileSync(join(events, 'events.sqlite.partial'), 'of an earlier death')
  let kills = 0
  for (let round = 0; round < 4; round++) {
    const tool = launchTool(toolPaths.compact, ['--data', data])
    const isOver = {value: false}
    void tool.ended.then(() => (isOver.value = true))
    const enough = 1000 + round * 300_000
    const partialBytes = (): number =>
      statSync(join(events, 'events.sqlite.partial'), {throwIfNoEntry: false})?.size ?? 0
    while (!isOver.value && partialBytes() < enough) await new Promise(resolve => setImmediate(resolve))
    tool.kill()
    if ((await tool.ended).signal === 'SIGKILL') kills++
    const store = open()
    expect(contentOf(store)).toEqual(before)
    store.close()
  }
  expect(kills).toBeGreaterThan(0)
  expect(await compact()).toMatchObject({status: 0})
})
