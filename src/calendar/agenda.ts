import type {BookingId, MachineId, ServiceId, UserId} from '../kernel/ids.ts'
import {instantFromMs, msOf, type Instant} from '../kernel/time.ts'

/**
 * One machine's agenda: its live allocations, ordered by start, and the rule that no two of them overlap.
 *
 * A machine is occupied from the warm-up lead before a booking to the turnaround buffer after it. Between two bookings
 * of one customer that touch, both buffers fall away: the machine simply stays on.
 *
 * Times are milliseconds since the Unix epoch here: choosing a machine compares them with every machine of the pool.
 */
export interface Allocation {
  readonly bookingId: BookingId
  readonly userId: UserId
  readonly serviceId: ServiceId
  readonly startMs: number
  readonly endMs: number
  readonly warmUpMs: number
  readonly turnaroundMs: number
}

export interface MachineAgenda {
  readonly machineId: MachineId
  readonly services: readonly ServiceId[]
  readonly offered: boolean
  readonly allocations: readonly Allocation[]
}

export interface SlotWish {
  readonly bookingId: BookingId
  readonly userId: UserId
  readonly serviceId: ServiceId
  readonly interval: {readonly start: Instant; readonly end: Instant}
  readonly warmUpMinutes: number
  readonly turnaroundMinutes: number
}

export function allocationOf(wish: SlotWish): Allocation {
  const {bookingId, userId, serviceId, interval} = wish
  return {
    bookingId,
    userId,
    serviceId,
    startMs: msOf(interval.start),
    endMs: msOf(interval.end),
    warmUpMs: wish.warmUpMinutes * 60_000,
    turnaroundMs: wish.turnaroundMinutes * 60_000,
  }
}

/**
 * How well a slot fits between its neighbours: the idle milliseconds it leaves on its tighter side, so that the
 * smallest is the best fit; 0 right beside another booking. Null when it does not fit at all.
 */
export function fitOf(allocations: readonly Allocation[], slot: Allocation): number | null {
  const index = firstStartingAtOrAfter(allocations, slot.startMs)
  const before = allocations[index - 1]
  const after = allocations[index]
  if (before !== undefined && collide(before, slot)) return null
  if (after !== undefined && collide(slot, after)) return null
  if (reachesAcross(allocations, index, slot)) return null
  const idleBefore = before === undefined ? Infinity : Math.max(0, occupiedFrom(slot) - occupiedUntil(before))
  const idleAfter = after === undefined ? Infinity : Math.max(0, occupiedFrom(after) - occupiedUntil(slot))
  return Math.min(idleBefore, idleAfter)
}

/**
 * Buffers that fall away beside a touching booking of the same customer still keep all others off: without this, a
 * long buffer would come into force against somebody when the booking that hid it is given back. Only runs of one
 * customer can hide a buffer, so the look ends at the first neighbours that are strangers to slot and each other.
 */
function reachesAcross(allocations: readonly Allocation[], index: number, slot: Allocation): boolean {
  const strangersMeet = (nearer: Allocation, further: Allocation): boolean =>
    nearer.userId !== slot.userId && nearer.userId !== further.userId
  let nearer = slot
  for (let i = index - 1; i >= 0; i--) {
    const further = allocations[i]
    if (further === undefined || strangersMeet(nearer, further)) break
    if (further.userId !== slot.userId && occupiedUntil(further) > occupiedFrom(slot)) return true
    nearer = further
  }
  nearer = slot
  for (let i = index; i < allocations.length; i++) {
    const further = allocations[i]
    if (further === undefined || strangersMeet(nearer, further)) break
    if (further.userId !== slot.userId && occupiedUntil(slot) > occupiedFrom(further)) return true
    nearer = further
  }
  return false
}

/** `first` starts no later than `second`: does it leave too little room? */
export function collide(first: Allocation, second: Allocation): boolean {
  if (first.userId === second.userId && first.endMs === second.startMs) return false
  return occupiedUntil(first) > occupiedFrom(second)
}

/**
 * The earliest start, a whole minute at or after the wished one, at which the machine is free for such a slot; null
 * when there is none before `limitMs`.
 */
export function freeFrom(allocations: readonly Allocation[], slot: Allocation, limitMs: number): Instant | null {
  const lengthMs = slot.endMs - slot.startMs
  let earliestMs = limitMs
  const consider = (ms: number): void => {
    const startMs = Math.ceil(ms / 60_000) * 60_000
    if (startMs < slot.startMs || startMs >= earliestMs) return
    if (fitOf(allocations, {...slot, startMs, endMs: startMs + lengthMs}) !== null) earliestMs = startMs
  }
  consider(slot.startMs)
  // The first free moment is the end of what is in the way, or touches a booking of the same customer.
  for (const allocation of allocations) {
    if (allocation.startMs - lengthMs >= earliestMs) break
    consider(occupiedUntil(allocation) + slot.warmUpMs)
    if (allocation.userId === slot.userId) {
      consider(allocation.endMs)
      consider(allocation.startMs - lengthMs)
    }
  }
  return earliestMs === limitMs ? null : instantFromMs(earliestMs)
}

/** What a machine that takes over at `nowMs` is needed for: nothing before that. */
export function remainingOf(allocation: Allocation, nowMs: number): Allocation {
  const startMs = Math.max(allocation.startMs, nowMs)
  return {...allocation, startMs, warmUpMs: startMs - Math.max(occupiedFrom(allocation), nowMs)}
}

export function withAllocation(allocations: readonly Allocation[], added: Allocation): readonly Allocation[] {
  const index = firstStartingAtOrAfter(allocations, added.startMs)
  return [...allocations.slice(0, index), added, ...allocations.slice(index)]
}

export function occupiedFrom(allocation: Allocation): number {
  return allocation.startMs - allocation.warmUpMs
}

export function occupiedUntil(allocation: Allocation): number {
  return allocation.endMs + allocation.turnaroundMs
}

function firstStartingAtOrAfter(allocations: readonly Allocation[], startMs: number): number {
  let low = 0
  let high = allocations.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((allocations[middle]?.startMs ?? Infinity) < startMs) low = middle + 1
    else high = middle
  }
  return low
}
