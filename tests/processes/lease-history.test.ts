import {randomUUID} from 'node:crypto'
import {afterEach, beforeEach, expect, test} from 'vitest'
import {createHandler, type Handler} from '../../src/event-store/handler.ts'
import {createRegistry} from '../../src/event-store/registry.ts'
import {leaseEvents, leaseStream} from '../../src/processes/lease-events.ts'
import {limitLeaseHistory} from '../../src/processes/lease-history.ts'
import {lease, type LeaseCommand} from '../../src/processes/lease.ts'
import {derivedCommandId} from '../../src/kernel/ids.ts'
import {systemClock, systemIds, systemRandom, systemTimers} from '../../src/system.ts'
import {startTestStore, type TestStore} from '../support/store.ts'

let rig: TestStore
beforeEach(async () => {
  rig = await startTestStore()
})
afterEach(() => rig.stop())

/** Of another node, or of this one after a restart: it has folded nothing yet. */
const newHandler = (): Handler =>
  createHandler({
    store: rig.store,
    registry: createRegistry(leaseEvents),
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
  })

function send(handler: Handler, command: LeaseCommand) {
  const commandId = derivedCommandId(command.type, randomUUID())
  return handler.handle(lease, leaseStream, command, {
    commandId,
    correlationId: commandId,
    actor: {type: 'process', name: 'lease'},
  })
}

test('the store keeps the newest events of a lease, and whoever reads them knows its holder and its epoch', async () => {
  await limitLeaseHistory(rig.store, systemIds)
  const handler = newHandler()
  for (let epoch = 1; epoch <= 2; epoch++)
    await send(handler, {type: 'TakeLease', holder: 'a', seen: await load(handler)})
  for (let renewal = 0; renewal < 250; renewal++) await send(handler, {type: 'RenewLease', holder: 'a', epoch: 2})
  expect(await rig.store.readStream(leaseStream, {maxCount: 1000})).toHaveLength(100)

  const other = newHandler()
  const seen = await load(other)
  expect(seen).toMatchObject({holder: 'a', epoch: 2})
  // A lease that is renewed is seen to move, however many renewals were forgotten.
  expect(await send(handler, {type: 'RenewLease', holder: 'a', epoch: 2})).toMatchObject({ok: true})
  expect((await load(other)).renewals).toBeGreaterThan(seen.renewals)
  expect(await send(other, {type: 'TakeLease', holder: 'b', seen})).toMatchObject({refusal: {type: 'LeaseMoved'}})
  const taken = await send(other, {type: 'TakeLease', holder: 'b', seen: await load(other)})
  expect(taken).toMatchObject({ok: true, state: {holder: 'b', epoch: 3}})
  expect(await send(handler, {type: 'RenewLease', holder: 'a', epoch: 2})).toMatchObject({ok: false})

  for (let renewal = 0; renewal < 120; renewal++) await send(other, {type: 'RenewLease', holder: 'b', epoch: 3})
  await send(other, {type: 'ReleaseLease', holder: 'b', epoch: 3})
  expect(await load(newHandler())).toMatchObject({holder: null, epoch: 3})
})

const load = (handler: Handler) => handler.load(lease, leaseStream)

test('the limit is set once: one that somebody has changed stays', async () => {
  await limitLeaseHistory(rig.store, systemIds)
  const metadataStream = `$$${leaseStream}`
  const changed = {id: randomUUID(), type: '$metadata', data: {$maxCount: 7}, metadata: {}}
  await rig.store.append(metadataStream, 'any', [changed])
  await limitLeaseHistory(rig.store, systemIds)
  const [last] = (await rig.store.readStream(metadataStream, {direction: 'backwards', maxCount: 1})) ?? []
  expect(last).toMatchObject({revision: 1n, data: {$maxCount: 7}})
})
