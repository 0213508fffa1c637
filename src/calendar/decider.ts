import {accept, assertNever, refuse, type Decider, type Decision} from '../kernel/decider.ts'
import type {BookingId, MachineId, ServiceId} from '../kernel/ids.ts'
import {drop, emptyMap, lookUp, put, type PersistentMap} from '../kernel/persistent-map.ts'
import {instantFromMs, msBetween, msOf, type Instant} from '../kernel/time.ts'
import {
  allocationOf,
  fitOf,
  freeFrom,
  occupiedUntil,
  remainingOf,
  withAllocation,
  type Allocation,
  type MachineAgenda,
  type SlotWish,
} from './agenda.ts'
import {calendarCategory, type CalendarEvent, type SlotRefusal} from './events.ts'

export type CalendarCommand =
  | {readonly type: 'OfferMachine'; readonly machineId: MachineId; readonly services: readonly ServiceId[]}
  | {readonly type: 'WithdrawMachine'; readonly machineId: MachineId}
  /** `begunAt`: when whoever asks made sure that the booking is still to be made. */
  | {readonly type: 'AllocateSlot'; readonly wish: SlotWish; readonly begunAt: Instant}
  /** The booking needs its machine only until `end`. */
  | {readonly type: 'ShortenAllocation'; readonly bookingId: BookingId; readonly end: Instant}
  | {readonly type: 'FailOverAllocation'; readonly bookingId: BookingId; readonly fromMachineId: MachineId}

/** Only a fail-over is refused; an allocation that cannot be had is a fact (`SlotDeclined`), see `declinedBecause`. */
export type CalendarRefusal =
  | SlotRefusal
  | {readonly type: 'NoSuchAllocation'; readonly bookingId: BookingId}
  /** So long ago that what was decided since may be forgotten: whether there is anything to allocate must be asked anew. */
  | {readonly type: 'BegunTooLongAgo'; readonly bookingId: BookingId}

/**
 * Allocations are forgotten two days after their end; booking ids whose slot was given back or declined are remembered for one to
 * two days. A late repeat of an allocation therefore finds its answer, and the state stays as small as what is live.
 */
const memoryMs = 48 * 3_600_000

export interface CalendarState {
  /** Ordered by machine id: every allocation looks at all of them, and a changed one is a copy of so many pointers. */
  readonly machines: readonly MachineAgenda[]
  readonly machineOf: PersistentMap<MachineId>
  /** Bookings without a slot (any more): why it was declined, null when it was given back. */
  readonly gone: PersistentMap<SlotRefusal | null>
  readonly goneBefore: PersistentMap<SlotRefusal | null>
  readonly goneSinceMs: number
}

export const calendar: Decider<CalendarState, CalendarCommand, CalendarEvent, CalendarRefusal> = {
  category: calendarCategory,
  initial: {machines: [], machineOf: emptyMap(), gone: emptyMap(), goneBefore: emptyMap(), goneSinceMs: 0},

  decide(command, state, {now}) {
    switch (command.type) {
      case 'OfferMachine': {
        const known = knownAgenda(state, command.machineId)
        const services = [...new Set(command.services)].sort()
        if (known?.offered === true && known.services.join() === services.join()) return accept()
        return accept({type: 'MachineOffered', data: {machineId: command.machineId, services}})
      }
      case 'WithdrawMachine': {
        const known = knownAgenda(state, command.machineId)
        if (known === undefined || !known.offered) return accept()
        return accept({type: 'MachineWithdrawn', data: {machineId: command.machineId}})
      }
      case 'AllocateSlot':
        return decideAllocation(command, state, now)
      case 'ShortenAllocation':
        return decideShortening(command.bookingId, command.end, state, now)
      case 'FailOverAllocation':
        return decideFailOver(command.bookingId, command.fromMachineId, state, now)
      default:
        return assertNever(command)
    }
  },

  evolve(state, event) {
    switch (event.type) {
      case 'MachineOffered': {
        const {machineId, services} = event.data
        const allocations = knownAgenda(state, machineId)?.allocations ?? []
        return withAgenda(state, {machineId, services, offered: true, allocations})
      }
      case 'MachineWithdrawn': {
        const agenda = agendaOf(state, event.data.machineId)
        return withAgenda(state, {...agenda, offered: false})
      }
      case 'SlotAllocated':
        return withSlot(state, event.data.machineId, allocationOf(event.data), msOf(event.data.at))
      case 'SlotDeclined':
        return remembering(state, event.data.bookingId, event.data.refusal, event.data.at)
      case 'AllocationShortened':
        return withShortened(state, event.data)
      case 'AllocationFailedOver': {
        const {bookingId, fromMachineId, toMachineId, at} = event.data
        const allocation = allocationIn(state, fromMachineId, bookingId)
        if (allocation === undefined) return state
        const moved = remainingOf(allocation, msOf(at))
        return withSlot(withoutSlot(state, fromMachineId, bookingId), toMachineId, moved, msOf(at))
      }
      default:
        return assertNever(event)
    }
  },
}

/** The machine that holds the booking's slot; undefined when the booking has none. */
export function machineHolding(state: CalendarState, bookingId: BookingId): MachineId | undefined {
  return lookUp(state.machineOf, bookingId)
}

/** Why the booking was declined a slot; null when it was not. */
export function declinedBecause(state: CalendarState, bookingId: BookingId): SlotRefusal | null {
  return goneBecause(state, bookingId) ?? null
}

function decideAllocation(
  {wish, begunAt}: Extract<CalendarCommand, {type: 'AllocateSlot'}>,
  state: CalendarState,
  now: Instant,
): Decision<CalendarEvent, CalendarRefusal> {
  const {bookingId, userId, serviceId, interval, warmUpMinutes, turnaroundMinutes} = wish
  // Decided before, either way: the state has the answer.
  if (lookUp(state.machineOf, bookingId) !== undefined || goneBecause(state, bookingId) !== undefined) return accept()
  if (msBetween(begunAt, now) >= memoryMs / 2) return refuse({type: 'BegunTooLongAgo', bookingId})
  const slot = allocationOf(wish)
  const choice = bestMachine(state, slot, null)
  if (choice === 'none serves' || choice === 'none free') {
    const refusal: SlotRefusal =
      choice === 'none serves'
        ? {type: 'NoMachineServes', serviceId}
        : {type: 'SlotTaken', until: earliestStart(state, slot, null)}
    return accept({type: 'SlotDeclined', data: {bookingId, refusal, at: now}})
  }
  const data = {bookingId, userId, machineId: choice, serviceId, interval, warmUpMinutes, turnaroundMinutes, at: now}
  return accept({type: 'SlotAllocated', data})
}

function decideShortening(
  bookingId: BookingId,
  end: Instant,
  state: CalendarState,
  now: Instant,
): Decision<CalendarEvent, CalendarRefusal> {
  const machineId = lookUp(state.machineOf, bookingId)
  if (machineId === undefined) {
    return goneBecause(state, bookingId) !== undefined ? accept() : refuse({type: 'NoSuchAllocation', bookingId})
  }
  const allocation = allocationIn(state, machineId, bookingId)
  if (allocation === undefined || allocation.endMs <= msOf(end)) return accept()
  return accept({type: 'AllocationShortened', data: {bookingId, machineId, end, at: now}})
}

function decideFailOver(
  bookingId: BookingId,
  fromMachineId: MachineId,
  state: CalendarState,
  now: Instant,
): Decision<CalendarEvent, CalendarRefusal> {
  const machineId = lookUp(state.machineOf, bookingId)
  const allocation = machineId === undefined ? undefined : allocationIn(state, machineId, bookingId)
  if (machineId === undefined || allocation === undefined) return refuse({type: 'NoSuchAllocation', bookingId})
  if (machineId !== fromMachineId) return accept()
  const remaining = remainingOf(allocation, msOf(now))
  if (remaining.startMs >= remaining.endMs) return refuse({type: 'NoSuchAllocation', bookingId})
  const choice = bestMachine(state, remaining, fromMachineId)
  if (choice === 'none serves') return refuse({type: 'NoMachineServes', serviceId: allocation.serviceId})
  if (choice === 'none free') return refuse({type: 'SlotTaken', until: earliestStart(state, remaining, fromMachineId)})
  return accept({
    type: 'AllocationFailedOver',
    data: {bookingId, fromMachineId, toMachineId: choice, at: now},
  })
}

/** Best fit: the free machine on which the slot leaves the least idle time beside it; ties go to the lowest id. */
function bestMachine(
  state: CalendarState,
  slot: Allocation,
  except: MachineId | null,
): MachineId | 'none serves' | 'none free' {
  let best: {machineId: MachineId; fit: number} | null = null
  let served = false
  for (const agenda of state.machines) {
    if (!serves(agenda, slot, except)) continue
    served = true
    const fit = fitOf(agenda.allocations, slot)
    if (fit === null) continue
    // In the order of their ids: of equals, the first stays.
    if (best === null || fit < best.fit) best = {machineId: agenda.machineId, fit}
  }
  if (best !== null) return best.machineId
  return served ? 'none free' : 'none serves'
}

function earliestStart(state: CalendarState, slot: Allocation, except: MachineId | null): Instant {
  let earliest: Instant | null = null
  for (const agenda of state.machines) {
    if (!serves(agenda, slot, except)) continue
    earliest = freeFrom(agenda.allocations, slot, earliest === null ? Infinity : msOf(earliest)) ?? earliest
  }
  return earliest ?? instantFromMs(slot.startMs)
}

function serves(agenda: MachineAgenda, slot: Allocation, except: MachineId | null): boolean {
  return agenda.offered && agenda.machineId !== except && agenda.services.includes(slot.serviceId)
}

function knownAgenda({machines}: CalendarState, machineId: MachineId): MachineAgenda | undefined {
  const agenda = machines[placeOf(machines, machineId)]
  return agenda?.machineId === machineId ? agenda : undefined
}

/** Where the machine stands, or would stand. */
function placeOf(machines: readonly MachineAgenda[], machineId: MachineId): number {
  let low = 0
  let high = machines.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const agenda = machines[middle]
    if (agenda !== undefined && agenda.machineId < machineId) low = middle + 1
    else high = middle
  }
  return low
}

function agendaOf(state: CalendarState, machineId: MachineId): MachineAgenda {
  return knownAgenda(state, machineId) ?? {machineId, services: [], offered: false, allocations: []}
}

function allocationIn(state: CalendarState, machineId: MachineId, bookingId: BookingId): Allocation | undefined {
  return knownAgenda(state, machineId)?.allocations.find(allocation => allocation.bookingId === bookingId)
}

function withAgenda(state: CalendarState, agenda: MachineAgenda): CalendarState {
  const place = placeOf(state.machines, agenda.machineId)
  const isKnown = state.machines[place]?.machineId === agenda.machineId
  return {...state, machines: state.machines.toSpliced(place, isKnown ? 1 : 0, agenda)}
}

function withSlot(state: CalendarState, machineId: MachineId, added: Allocation, atMs: number): CalendarState {
  const agenda = agendaOf(state, machineId)
  let machineOf = put(state.machineOf, added.bookingId, machineId)
  let forgotten = 0
  // Ordered by start, so what has long ended stands in front.
  for (const old of agenda.allocations) {
    if (occupiedUntil(old) + memoryMs > atMs) break
    machineOf = drop(machineOf, old.bookingId)
    forgotten++
  }
  const allocations = withAllocation(agenda.allocations.slice(forgotten), added)
  return {...withAgenda(state, {...agenda, allocations}), machineOf}
}

function withoutSlot(state: CalendarState, machineId: MachineId, bookingId: BookingId): CalendarState {
  const agenda = agendaOf(state, machineId)
  const allocations = agenda.allocations.filter(allocation => allocation.bookingId !== bookingId)
  return {...withAgenda(state, {...agenda, allocations}), machineOf: drop(state.machineOf, bookingId)}
}

function withShortened(
  state: CalendarState,
  data: Extract<CalendarEvent, {type: 'AllocationShortened'}>['data'],
): CalendarState {
  const {bookingId, machineId} = data
  const endMs = msOf(data.end)
  const agenda = agendaOf(state, machineId)
  const allocation = agenda.allocations.find(candidate => candidate.bookingId === bookingId)
  if (allocation === undefined) return state
  if (endMs <= allocation.startMs)
    return remembering(withoutSlot(state, machineId, bookingId), bookingId, null, data.at)
  const allocations = agenda.allocations.map(other => (other === allocation ? {...allocation, endMs} : other))
  return withAgenda(state, {...agenda, allocations})
}

function remembering(
  state: CalendarState,
  bookingId: BookingId,
  refusal: SlotRefusal | null,
  at: Instant,
): CalendarState {
  const atMs = msOf(at)
  const rotate = atMs - state.goneSinceMs > memoryMs / 2
  return {
    ...state,
    gone: put(rotate ? emptyMap<SlotRefusal | null>() : state.gone, bookingId, refusal),
    goneBefore: rotate ? state.gone : state.goneBefore,
    goneSinceMs: rotate ? atMs : state.goneSinceMs,
  }
}

/** Undefined: nothing is known of it. */
function goneBecause(state: CalendarState, bookingId: BookingId): SlotRefusal | null | undefined {
  const recent = lookUp(state.gone, bookingId)
  return recent === undefined ? lookUp(state.goneBefore, bookingId) : recent
}
