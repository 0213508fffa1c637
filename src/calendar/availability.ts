import type {BookingId, MachineId, ServiceId, UserId} from '../kernel/ids.ts'
import {instantFromMs, msOf, type Instant} from '../kernel/time.ts'
import {fitOf, type Allocation} from './agenda.ts'

/** What somebody would like to book, somewhere between two times. */
export interface AvailabilityWish {
  readonly serviceId: ServiceId
  /** Slots begin at or after this … */
  readonly from: Instant
  /** … and before this. */
  readonly to: Instant
  readonly minutes: number
  /** Whose own bookings a slot may touch without the buffers; null: nobody's. */
  readonly userId: UserId | null
}

/** The part of the booking policy that slots depend on. */
export interface SlotPolicy {
  readonly slotStepMinutes: number
  readonly noticeMinutesMin: number
  readonly horizonDays: number
  readonly warmUpMinutes: number
  readonly turnaroundMinutes: number
}

export interface Offer {
  readonly machineId: MachineId
  readonly services: readonly ServiceId[]
}

export type MachineAllocation = Allocation & {readonly machineId: MachineId}

export interface Slot {
  readonly start: Instant
  readonly end: Instant
  /** How many machines could take a booking in it; 1 or more. */
  readonly freeMachines: number
}

export interface Availability {
  readonly slots: readonly Slot[]
  /** Where the search stopped, because there are enough slots; null: at the end of the window. */
  readonly searchedUntil: Instant | null
}

export const slotsMax = 2000
export const windowDaysMax = 31

/** Buffers of bookings made under another policy are not known in advance; none is longer than a day. */
const bufferMsMax = 86_400_000

/** Of which time the allocations have to be known to compute the slots of a wish; milliseconds since the epoch. */
export function agendaWindow(wish: AvailabilityWish): {readonly fromMs: number; readonly toMs: number} {
  const reachMs = 2 * bufferMsMax
  return {fromMs: msOf(wish.from) - reachMs, toMs: msOf(wish.to) + wish.minutes * 60_000 + reachMs}
}

/**
 * The slots that can be booked, in order, on the policy's grid (counted from the Unix epoch) and within notice and
 * horizon. Whether a slot fits is asked of the same function as when it is booked, so what is offered is what is taken.
 */
export function availableSlots(
  wish: AvailabilityWish,
  policy: SlotPolicy,
  calendar: {readonly offers: readonly Offer[]; readonly allocations: readonly MachineAllocation[]},
  now: Instant,
): Availability {
  const agendas = agendasOf(wish.serviceId, calendar)
  const stepMs = policy.slotStepMinutes * 60_000
  const lengthMs = wish.minutes * 60_000
  const earliestMs = Math.max(msOf(wish.from), msOf(now) + policy.noticeMinutesMin * 60_000)
  const latestEndMs = msOf(now) + policy.horizonDays * 86_400_000
  const slots: Slot[] = []
  for (let startMs = Math.ceil(earliestMs / stepMs) * stepMs; startMs < msOf(wish.to); startMs += stepMs) {
    const endMs = startMs + lengthMs
    if (endMs > latestEndMs) break
    if (slots.length === slotsMax) return {slots, searchedUntil: instantFromMs(startMs)}
    const slot = asAllocation(wish, policy, startMs, endMs)
    const freeMachines = agendas.reduce((count, agenda) => (fitOf(agenda, slot) === null ? count : count + 1), 0)
    if (freeMachines > 0) slots.push({start: instantFromMs(startMs), end: instantFromMs(endMs), freeMachines})
  }
  return {slots, searchedUntil: null}
}

/** The agendas of the machines that serve, each in order of start. */
function agendasOf(
  serviceId: ServiceId,
  {offers, allocations}: {readonly offers: readonly Offer[]; readonly allocations: readonly MachineAllocation[]},
): readonly (readonly Allocation[])[] {
  const serving = offers.filter(({services}) => services.includes(serviceId))
  const byMachine = new Map<MachineId, Allocation[]>(serving.map(({machineId}) => [machineId, []]))
  for (const allocation of allocations) byMachine.get(allocation.machineId)?.push(allocation)
  return [...byMachine.values()].map(agenda => agenda.sort((a, b) => a.startMs - b.startMs))
}

function asAllocation(wish: AvailabilityWish, policy: SlotPolicy, startMs: number, endMs: number): Allocation {
  return {
    // Neither is anybody's: an id is never empty.
    bookingId: '' as BookingId,
    userId: wish.userId ?? ('' as UserId),
    serviceId: wish.serviceId,
    startMs,
    endMs,
    warmUpMs: policy.warmUpMinutes * 60_000,
    turnaroundMs: policy.turnaroundMinutes * 60_000,
  }
}
