import {rm} from 'node:fs/promises'
import {afterEach, beforeEach, expect, test} from 'vitest'

import {groupCommit} from '../../src/embedded-node/group-commit.ts'
import type {AppendWrite, WriteOutcome} from '../../src/embedded-node/records.ts'
import {openStore, type Store} from '../../src/embedded-node/store.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import {OutcomeUnknown, StoreUnavailable} from '../../src/event-store/port.ts'
import {newEvent} from '../support/store-events.ts'
import {temporaryFolder} from '../support/store.ts'
import {spawnNode} from './child-process.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = await temporaryFolder()
})
afterEach(async () => {
  await rm(dataDir, {recursive: true, force: true})
})

let ids = 0
function largeWrite(stream: string, bytes: number): AppendWrite {
  const id = Buffer.alloc(16)
  id.writeUInt32BE(++ids)
  const event = {id, type: 'Large', isJson: false, data: Buffer.alloc(bytes, 1), metadata: Buffer.alloc(0)}
  return {kind: 'append', stream, expected: 'any', events: [event]}
}

/** Writes one group and answers its outcomes. */
function writeGroup(store: Store, writes: readonly AppendWrite[]): readonly WriteOutcome[] {
  const outcomes: WriteOutcome[] = []
  const unexpected = (error: Error): never => {
    throw error
  }
  const commits = groupCommit(store, {nowMs: () => 0, committed: () => undefined, broken: unexpected})
  for (const write of writes) commits.enqueue(write, Infinity, outcome => outcomes.push(outcome))
  commits.flush()
  return outcomes
}

test('a full disk refuses the whole group, keeps what was there, and takes writes again when there is room', () => {
  let store = openStore(dataDir, () => 0, {pagesMax: 100})
  let stored = 0
  while (writeGroup(store, [largeWrite('s', 20_000)])[0]?.type === 'done') stored++
  expect(stored).toBeGreaterThan(5)

  const refused = writeGroup(store, [largeWrite('other', 10), largeWrite('s', 900_000), largeWrite('third', 10)])
  expect(refused.map(outcome => outcome.type)).toEqual(['diskFull', 'diskFull', 'diskFull'])
  expect(store.state('other')).toMatchObject({id: null, lastRevision: -1})
  expect(store.readStream('s', 'forwards', 0, 1000)).toHaveLength(stored)
  const lastPosition = store.lastPosition()
  store.close()

  store = openStore(dataDir, () => 0)
  expect(store.lastPosition()).toBe(lastPosition)
  const outcomes = writeGroup(store, [largeWrite('other', 10), largeWrite('s', 900_000)])
  expect(outcomes).toEqual([
    {type: 'done', revision: 0, position: lastPosition + 1},
    {type: 'done', revision: stored, position: lastPosition + 2},
  ])
  store.close()
})

test('a write error stops the node, which says so; the next start has all that was acknowledged', async () => {
  // The files may not grow beyond this: writing fails then, as it does on a broken disk.
  const node = await spawnNode(dataDir, 0, 2000)
  const store = connectEventStore(`esdb://127.0.0.1:${node.port}?tls=false`)
  const acknowledged: string[] = []
  for (let error: unknown = null; error === null;) {
    const event = {...newEvent(acknowledged.length), data: 'x'.repeat(20_000)}
    try {
      await store.append('s', 'any', [event])
      acknowledged.push(event.id)
    } catch (thrown) {
      error = thrown
      expect(error).toBeInstanceOf(OutcomeUnknown)
    }
  }
  expect(await node.nextLine()).toMatch(/^failed the embedded node stopped: disk I\/O error/)
  await expect(store.append('s', 'any', [newEvent(0)])).rejects.toSatisfy(
    error => error instanceof StoreUnavailable || error instanceof OutcomeUnknown,
  )
  await node.kill()
  await store.close()

  const next = await spawnNode(dataDir)
  const again = connectEventStore(`esdb://127.0.0.1:${next.port}?tls=false`)
  const stored = (await again.readStream('s', {maxCount: 1000}))?.map(event => event.id)
  expect(acknowledged.length).toBeGreaterThan(5)
  expect(stored?.slice(0, acknowledged.length)).toEqual(acknowledged)
  expect(stored?.length).toBeLessThanOrEqual(acknowledged.length + 1)
  await again.close()
  await next.kill()
})
