import {randomUUID} from 'node:crypto'
import {afterAll, beforeAll, expect, test} from 'vitest'
import {account, type AccountCommand} from '../../src/account/decider.ts'
import {accountStream} from '../../src/account/events.ts'
import {calendar, type CalendarCommand} from '../../src/calendar/decider.ts'
import {calendarStream} from '../../src/calendar/events.ts'
import {allEventTypes} from '../../src/event-types.ts'
import {createHandler, type Handler} from '../../src/event-store/handler.ts'
import {createRegistry} from '../../src/event-store/registry.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {at, termsOf} from '../support/given.ts'
import {startTestStore, type TestStore} from '../support/store.ts'
import {freshMeta, partsOf} from './tally.ts'

let rig: TestStore
beforeAll(async () => {
  rig = await startTestStore()
})
afterAll(() => rig.stop())

const node = (): Handler => createHandler({...partsOf(rig.store), registry: createRegistry(...allEventTypes)})
const interval = {start: at('12:00'), end: at('13:00')}

test('of 200 bookings in parallel for one slot, on two nodes, exactly one gets it', async () => {
  const stream = calendarStream(idOf(randomUUID()))
  const nodes = [node(), node()] as const
  const serviceId = idOf<'Service'>('service-a')
  const offer: CalendarCommand = {type: 'OfferMachine', machineId: idOf('m1'), services: [serviceId]}
  await nodes[0].handle(calendar, stream, offer, freshMeta())
  const answers = await Promise.all(
    Array.from({length: 200}, (_, index) => {
      const wish = {bookingId: idOf<'Booking'>(`b${index}`), userId: idOf<'User'>(`u${index}`), serviceId, interval}
      const buffers = {warmUpMinutes: 5, turnaroundMinutes: 5}
      const command = {type: 'AllocateSlot', wish: {...wish, ...buffers}, begunAt: at('08:00')} as const
      return nodes[index % 2 === 0 ? 0 : 1].handle(calendar, stream, command, freshMeta())
    }),
  )
  const facts = answers.map(answer => (answer.ok ? answer.events.map(({type}) => type).join() : answer.refusal.type))
  expect(facts.filter(fact => fact === 'SlotAllocated')).toHaveLength(1)
  expect(facts.filter(fact => fact === 'SlotDeclined')).toHaveLength(199)
  const recorded = (await rig.store.readStream(stream, {maxCount: 1_000})) ?? []
  expect(recorded.filter(({type}) => type === 'SlotAllocated')).toHaveLength(1)
})

test('of 100 holds in parallel for the last hour, on two nodes, exactly one gets it', async () => {
  const stream = accountStream(idOf(randomUUID()))
  const nodes = [node(), node()] as const
  const grant: AccountCommand = {
    type: 'GrantHours',
    grantId: idOf('g1'),
    minutes: 60,
    source: {type: 'operator', reason: 'test'},
    priority: 0,
    effectiveAt: null,
    expiresAt: null,
  }
  await nodes[0].handle(account, stream, grant, freshMeta())
  const answers = await Promise.all(
    Array.from({length: 100}, (_, index) => {
      const command = {type: 'HoldHours', bookingId: idOf<'Booking'>(`b${index}`), terms: termsOf(interval)} as const
      return nodes[index % 2 === 0 ? 0 : 1].handle(account, stream, command, freshMeta())
    }),
  )
  expect(answers.filter(({ok}) => ok)).toHaveLength(1)
  for (const answer of answers) {
    if (answer.ok) continue
    expect(answer.refusal).toEqual({type: 'InsufficientHours', availableMinutes: 0, neededMinutes: 60})
  }
  const recorded = (await rig.store.readStream(stream, {maxCount: 1_000})) ?? []
  expect(recorded.map(({type}) => type)).toEqual(['HoursGranted', 'HoursHeld'])
})
