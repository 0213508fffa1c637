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
  const idleBefore = before === undefined ? Infinity : Math.max(0, occupiedFrom(slot) - occupiedUntil(before))
  const idleAfter = after === undefined ? Infinity : Math.max(0, occupiedFrom(after) - occupiedUntil(slot))
  return Math.min(idleBefore, idleAfter)
}

/** `first` starts no later than `second`: does it leave too little room? */
export function collide(first: Allocation, second: Allocation): boolean {
  if (first.userId === second.userId && first.endMs === second.startMs) return false
  return occupiedUntil(first) > occupiedFrom(second)
}

/** The earliest start, at or after the wished one, at which the machine is free for such a slot. */
export function freeFrom(allocations: readonly Allocation[], slot: Allocation): Instant {
  let candidate = slot
  for (const allocation of allocations) {
    if (occupiedUntil(allocation) <= occupiedFrom(slot)) continue
    if (fitOf(allocations, candidate) !== null) break
    const startMs = Math.max(candidate.startMs, occupiedUntil(allocation) + slot.warmUpMs)
    candidate = {...slot, startMs, endMs: startMs + (slot.endMs - slot.startMs)}
  }
  return instantFromMs(candidate.startMs)
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
