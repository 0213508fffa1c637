import {randomUUID} from 'node:crypto'
import {join} from 'node:path'
import {rm} from 'node:fs/promises'
import {expect, onTestFinished, test} from 'vitest'
import {allProjections} from '../../projections/all.ts'
import {startProjections} from '../../projections/runner.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {createRegistry} from '../../src/event-store/registry.ts'
import {allEventTypes} from '../../src/event-types.ts'
import {systemClock, systemTimers} from '../../src/system.ts'
import {startTestStore, temporaryFolder} from '../support/store.ts'
import {foldedRows, rowsOf} from './support.ts'

const actor = {type: 'process', name: 'test'}
const metadata = {$correlationId: 'c', $causationId: 'c', actor, at: '2026-11-21T08:00:00.000Z', version: 1}

/** Lists services with long names; answers the position of the last. */
async function listServices(store: EventStore, count: number): Promise<bigint> {
  let reached = 0n
  for (let index = 0; index < count; index++) {
    const data = {serviceId: randomUUID(), name: 'N'.repeat(2_000), pricePerHour: {amountMinor: 1, currency: 'EUR'}}
    const event = {id: randomUUID(), type: 'ServiceListed', data, metadata}
    const {position} = await store.append(`catalogue-${randomUUID()}`, 'noStream', [event])
    reached = position.commit
  }
  return reached
}

test('a full disk halts no read model: once there is room, all is folded that was not', async () => {
  const {store, stop} = await startTestStore()
  onTestFinished(stop)
  const folder = await temporaryFolder()
  onTestFinished(() => rm(folder, {recursive: true}))
  const halted: string[] = []
  const told: bigint[] = []
  const full = Promise.withResolvers<Error>()
  const runner = startProjections({
    store,
    registry: createRegistry(...allEventTypes),
    clock: systemClock,
    timers: systemTimers,
    projections: allProjections,
    file: join(folder, 'models.sqlite'),
    onLost: () => undefined,
    onHalted: name => halted.push(name),
    onUnkept: error => full.resolve(error),
  })
  onTestFinished(() => runner.stop())
  runner.onBatch(batch => told.push(...batch.map(({commit}) => commit)))
  const before = await listServices(store, 3)
  expect(await runner.waitFor(before, 10_000)).toBe(true)

  const pages = Number(runner.db.prepare('PRAGMA page_count').get()?.['page_count'])
  runner.db.exec(`PRAGMA max_page_count = ${pages + 1}`)
  const after = await listServices(store, 20)
  expect((await full.promise).message).toMatch(/full/)
  expect(halted).toEqual([])
  expect(runner.position()).toBeLessThan(after)

  runner.db.exec('PRAGMA max_page_count = 1000000')
  expect(await runner.waitFor(after, 30_000)).toBe(true)
  expect(rowsOf(runner.db)).toEqual(await foldedRows(store))
  expect(runner.halted()).toEqual([])
  // Whoever listens has been told of everything; of what was lost perhaps twice.
  expect(new Set(told).size).toBe(23)
})
