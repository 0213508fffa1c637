import {describe, expect, test} from 'vitest'
import {programHome, type ProgramHome, type RunningProgram} from '../support/program.ts'
import {missingForGuests} from '../support/qemu-guest.ts'
import {again, registerUser, signInOwner, type Api} from './api.ts'
import {guestRoom, type GuestRoom} from './guest.ts'
import {eventTypesIn} from './log.ts'
import type {Watch} from './watch.ts'

/*
 * The main job of the program, from outside: a customer buys hours, books a slot, and a real machine is on for exactly
 * that slot. Told twice, at the same time: once undisturbed, and once with the program killed in the middle.
 */

const oneMinutePolicy = {
  HOURHAND_BOOKING_STEP_MINUTES: '1',
  HOURHAND_BOOKING_MINUTES_MIN: '1',
  HOURHAND_WARMUP_MINUTES: '1',
  HOURHAND_TURNAROUND_MINUTES: '0',
}
const minuteMs = 60_000
const wish = {serviceId: 'ENCH', realmId: 'LAB', minutes: 1}

describe.skipIf((await missingForGuests()) !== null)('a booked machine is on for exactly its slot', () => {
  test.concurrent.each([
    ['while the program runs on', async (_: ProgramHome, program: RunningProgram) => program],
    ['also when the program is killed in the middle and started again', killAndStart],
  ])('%s', {timeout: 300_000}, async (_, inTheMiddle) => {
    const home = await programHome()
    const guest = await guestRoom()
    try {
      await expectMachineOnForTheSlot(home, guest, inTheMiddle)
    } finally {
      await home.close()
      await guest.close()
    }
  })
})

async function killAndStart(home: ProgramHome, program: RunningProgram): Promise<RunningProgram> {
  expect(await program.stop('SIGKILL')).toEqual({code: null, signal: 'SIGKILL'})
  return home.start(oneMinutePolicy)
}

async function expectMachineOnForTheSlot(
  home: ProgramHome,
  guest: GuestRoom,
  inTheMiddle: (home: ProgramHome, program: RunningProgram) => Promise<RunningProgram>,
): Promise<void> {
  const program = await home.start(oneMinutePolicy)
  const {operator, ada, bob} = await openShop(program, guest)
  for (const customer of [ada, bob]) await buyTenHours(customer, operator)

  const slot = await slotAhead(ada)
  const bookings = await watchBookings(ada)
  const machines = await watchMachines(operator)
  const booking = await book(ada, slot)
  await expectTakenFor(bob, slot)
  expect(await balanceOf(ada)).toEqual({availableMinutes: 599, heldMinutes: 1})
  expect(await guest.pids()).toEqual([])

  const warm = await machines.until(isReady)
  const [pid = 0, ...others] = await guest.pids()
  expect(others).toEqual([])
  expect(await guest.startedAtMs(pid)).toBeGreaterThanOrEqual(slot.startMs - minuteMs)
  expect(Date.parse(warm.machineChanged.readySince ?? '')).toBeLessThanOrEqual(slot.startMs)
  await bookings.until(isStatus('STARTED'))
  expect(await guest.pids()).toEqual([pid])

  const programAfter = await inTheMiddle(home, program)
  expect(await guest.pids()).toEqual([pid])
  const adaAfter = again(programAfter, ada)
  const bookingsAfter = await watchBookings(adaAfter, booking.id)
  await bookingsAfter.until(isStatus('ENDED'))
  await guest.untilGone(pid)
  const order = [...new Set([...statusesOf(bookings), ...statusesOf(bookingsAfter)])]
  expect(order).toEqual(['CONFIRMED', 'STARTED', 'ENDED'])

  await settled(adaAfter)
  const outcome = await outcomeOf(adaAfter, booking.id)
  expectOutcome(outcome, booking.id, slot)
  await expectOneRun(guest, slot)

  // And once more after all is over: nothing is done again.
  await programAfter.stop('SIGKILL')
  const programAtLast = await home.start(oneMinutePolicy)
  await untilProcessesLooked(again(programAtLast, operator))
  expect(await outcomeOf(again(programAtLast, ada), booking.id)).toEqual(outcome)
  await expectOneRun(guest, slot)
  expect(await programAtLast.stop()).toEqual({code: 0, signal: null})
  await expectLogOf(home, booking.id, ada)
}

// ── the steps ──

/** The owner signs in, lists a realm with a pool of its own and its one machine, and registers people. */
async function openShop(program: RunningProgram, guest: GuestRoom) {
  const owner = await signInOwner(program)
  const operator = await registerUser(program, owner, 'Olga', ['OPERATOR'])
  const ada = await registerUser(program, owner, 'Ada')
  const bob = await registerUser(program, owner, 'Bob')
  const realm = {realmId: wish.realmId, name: 'Laboratory', poolId: 'lab'}
  expect(await owner.change('listRealm', realm)).toMatchObject({__typename: 'ListRealmSuccess'})
  const machine = {machineId: 'lab-1', name: 'Lab 1', poolId: 'lab', serviceIds: [wish.serviceId], driver: guest.driver}
  expect(await operator.change('registerMachine', machine)).toMatchObject({__typename: 'RegisterMachineSuccess'})
  return {operator, ada, bob}
}

async function buyTenHours(customer: Api, operator: Api): Promise<void> {
  const checkout = await customer.change<{purchase: {id: string}}>(
    'startCheckout',
    {packId: 'pack-10h'},
    '... on StartCheckoutSuccess { purchase { id status price { amountMinor currency } } }',
  )
  expect(checkout.purchase).toMatchObject({status: 'OPEN', price: {amountMinor: 500, currency: 'USD'}})
  const paid = await operator.change(
    'markCheckoutPaid',
    {purchaseId: checkout.purchase.id},
    '... on MarkCheckoutPaidSuccess { purchase { status } }',
  )
  expect(paid).toMatchObject({purchase: {status: 'FULFILLED'}})
  expect(await balanceOf(customer)).toEqual({availableMinutes: 600, heldMinutes: 0})
}

interface Slot {
  readonly start: string
  readonly startMs: number
  readonly endMs: number
}

/** The next slot whose warm-up has not begun yet, so that a start before its time would show. */
async function slotAhead(customer: Api): Promise<Slot> {
  const nowMs = Date.now()
  const window = {from: new Date(nowMs).toISOString(), to: new Date(nowMs + 10 * minuteMs).toISOString()}
  const {availability} = await customer.ask<{
    availability: {slots: {start: string; end: string; freeMachines: number}[]}
  }>(
    `query ($serviceId: ID!, $realmId: ID!, $minutes: Int!, $from: DateTime!, $to: DateTime!) {
      availability(serviceId: $serviceId, realmId: $realmId, minutes: $minutes, from: $from, to: $to) {
        ... on Availability { slots { start end freeMachines } }
      }
    }`,
    {...wish, ...window},
  )
  const leadMs = minuteMs + 5_000
  const slot = availability.slots.find(({start}) => Date.parse(start) >= nowMs + leadMs)
  if (slot === undefined) throw new Error(`no slot in ${JSON.stringify(availability)}`)
  expect(slot.freeMachines).toBe(1)
  return {start: slot.start, startMs: Date.parse(slot.start), endMs: Date.parse(slot.end)}
}

async function book(customer: Api, {start}: Slot): Promise<{readonly id: string}> {
  const booked = await customer.change<{booking: {id: string; status: string}}>(
    'book',
    {...wish, start},
    '... on BookSuccess { booking { id status } }',
  )
  expect(booked).toMatchObject({__typename: 'BookSuccess', booking: {status: 'CONFIRMED'}})
  return booked.booking
}

async function expectTakenFor(other: Api, {start, endMs}: Slot): Promise<void> {
  const until = new Date(endMs + minuteMs).toISOString()
  const refusal = await other.change('book', {...wish, start}, '... on SlotTaken { until }')
  // A customer after another needs a machine that was off: the warm-up comes after the end.
  expect(refusal).toEqual({__typename: 'SlotTaken', code: 'SLOT_TAKEN', field: null, until})
  expect(await balanceOf(other)).toEqual({availableMinutes: 600, heldMinutes: 0})
}

// ── what is watched ──

interface BookingChange {
  readonly bookingChanged: {readonly status: string}
}
interface MachineChange {
  readonly machineChanged: {readonly id: string; readonly seen: string | null; readonly readySince: string | null}
}

const watchBookings = (customer: Api, bookingId?: string): Promise<Watch<BookingChange>> =>
  customer.watch('subscription ($bookingId: ID) { bookingChanged(bookingId: $bookingId) { status } }', {bookingId})

const watchMachines = (operator: Api): Promise<Watch<MachineChange>> =>
  operator.watch('subscription { machineChanged { id seen readySince } }')

const statusesOf = ({seen}: Watch<BookingChange>) => seen.map(({bookingChanged}) => bookingChanged.status)
const isStatus = (status: string) => (change: BookingChange) => change.bookingChanged.status === status
const isReady = ({machineChanged: {id, readySince}}: MachineChange): boolean =>
  id === 'Machine:lab-1' && readySince !== null

/** Resolves once nothing is set aside for the customer any more. */
async function settled(customer: Api): Promise<void> {
  type Change = {readonly balanceChanged: {readonly heldMinutes: number}}
  const balances = await customer.watch<Change>('subscription { balanceChanged { heldMinutes } }')
  await balances.until(({balanceChanged}) => balanceChanged.heldMinutes === 0)
  balances.close()
}

/** A machine that is registered now is looked at after all others: by then the processes have seen everything. */
async function untilProcessesLooked(operator: Api): Promise<void> {
  const machines = await watchMachines(operator)
  const driver = {kind: 'simulated', config: {}}
  await operator.change('registerMachine', {machineId: 'late', name: 'Late', poolId: 'late', serviceIds: [], driver})
  await machines.until(({machineChanged: {id, seen}}) => id === 'Machine:late' && seen === 'OFF')
  machines.close()
}

// ── what came of it ──

async function balanceOf(customer: Api) {
  const {viewer} = await customer.ask<{viewer: {balance: unknown}}>(
    '{ viewer { balance { availableMinutes heldMinutes } } }',
  )
  return viewer.balance
}

interface Outcome {
  readonly booking: {readonly startedAt: string; readonly overAt: string}
  readonly ledger: {readonly edges: readonly {readonly node: Readonly<Record<string, unknown>>}[]}
}

function outcomeOf(customer: Api, bookingId: string): Promise<Outcome> {
  return customer.ask(
    `query ($id: ID!) {
      booking(id: $id) { status startedAt overAt interruptedAt usedMinutes lostMinutes reason }
      viewer { balance { availableMinutes heldMinutes } }
      ledger { edges { node { kind minutes bookingId availableMinutesAfter heldMinutesAfter } } }
    }`,
    {id: bookingId},
  )
}

function expectOutcome(outcome: Outcome, bookingId: string, {startMs, endMs}: Slot): void {
  const line = (kind: string, minutes: number, of: string | null, availableMinutesAfter: number, held: number) => ({
    node: {kind, minutes, bookingId: of, availableMinutesAfter, heldMinutesAfter: held},
  })
  expect(outcome).toMatchObject({
    booking: {status: 'ENDED', interruptedAt: null, usedMinutes: 1, lostMinutes: 0, reason: null},
    viewer: {balance: {availableMinutes: 599, heldMinutes: 0}},
  })
  expect(outcome.ledger.edges).toEqual([
    line('CAPTURED', 1, bookingId, 599, 0),
    line('HELD', 1, bookingId, 599, 1),
    line('GRANTED', 600, null, 600, 0),
  ])
  expect(Date.parse(outcome.booking.startedAt)).toBeGreaterThanOrEqual(startMs)
  expect(Date.parse(outcome.booking.overAt)).toBeGreaterThanOrEqual(endMs)
}

/** The machine ran once: booted, became ready, and was switched off by its power button, not before the end. */
async function expectOneRun(guest: GuestRoom, {endMs}: Slot): Promise<void> {
  expect(await guest.pids()).toEqual([])
  const [run, ...others] = await guest.consoles()
  expect(others).toEqual([])
  const said = run?.lines.flatMap(line => /^(BOOT|READY|ACPI-POWEROFF)\b/.exec(line)?.[1] ?? [])
  expect(said).toEqual(['BOOT', 'READY', 'ACPI-POWEROFF'])
  expect(run?.lastAtMs).toBeGreaterThanOrEqual(endMs)
}

/** The facts themselves: each happened once. */
async function expectLogOf({dataFolder}: ProgramHome, bookingId: string, {userId}: Api): Promise<void> {
  const machine = 'machine-lab-1'
  const booking = `booking-${bookingId.replace('Booking:', '')}`
  const account = `account-${userId?.replace('User:', '')}`
  const types = await eventTypesIn(dataFolder, [machine, booking, account])
  expect(types[booking]).toEqual(['BookingConfirmed', 'BookingStarted', 'BookingEnded'])
  expect(types[account]).toEqual(['HoursGranted', 'HoursHeld', 'HoursCaptured'])
  const commands = types[machine]?.filter(type => type.startsWith('PowerCommandIntended'))
  expect(commands).toEqual(['PowerCommandIntended: start', 'PowerCommandIntended: stop'])
}
