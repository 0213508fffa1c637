import {z} from 'zod'
import type {PoolId} from '../kernel/ids.ts'
import {stored, type EventOf} from '../kernel/messages.ts'

export const calendarCategory = 'calendar'

export function calendarStream(poolId: PoolId): string {
  return `${calendarCategory}-${poolId}`
}

const slotRefusal = z.discriminatedUnion('type', [
  /** `until`: the earliest start at or after the wished one at which a machine of the pool is free. */
  z.object({type: z.literal('SlotTaken'), until: stored.instant}),
  z.object({type: z.literal('NoMachineServes'), serviceId: stored.id<'Service'>()}),
])
/** Why a booking got no machine. */
export type SlotRefusal = z.output<typeof slotRefusal>

export const calendarEvents = {
  /** A machine takes bookings in this pool from now on, for these services. Repeated when its services change. */
  MachineOffered: {
    schema: z.object({machineId: stored.id<'Machine'>(), services: z.array(stored.id<'Service'>())}),
  },
  /** A machine takes no new bookings; those it has stay. */
  MachineWithdrawn: {schema: z.object({machineId: stored.id<'Machine'>()})},
  /** A booking got a machine. `interval` is the customer's; the machine is occupied for the buffers as well. */
  SlotAllocated: {
    schema: z.object({
      bookingId: stored.id<'Booking'>(),
      userId: stored.id<'User'>(),
      machineId: stored.id<'Machine'>(),
      serviceId: stored.id<'Service'>(),
      interval: stored.interval,
      warmUpMinutes: stored.minutes,
      turnaroundMinutes: stored.minutes,
      at: stored.instant,
    }),
  },
  /**
   * A booking got no machine. Written down so that it stays so: whoever finishes the booking after a crash must not
   * allocate what the caller was told is taken.
   */
  SlotDeclined: {
    schema: z.object({bookingId: stored.id<'Booking'>(), refusal: slotRefusal, at: stored.instant}),
  },
  /** The booking needs its machine only until `at`; at or before the start this frees the whole slot. */
  AllocationShortened: {
    schema: z.object({
      bookingId: stored.id<'Booking'>(),
      machineId: stored.id<'Machine'>(),
      end: stored.instant,
      at: stored.instant,
    }),
  },
  /** The booking moved to another machine, because its own failed it. */
  AllocationFailedOver: {
    schema: z.object({
      bookingId: stored.id<'Booking'>(),
      fromMachineId: stored.id<'Machine'>(),
      toMachineId: stored.id<'Machine'>(),
      at: stored.instant,
    }),
  },
} as const

export type CalendarEvent = EventOf<typeof calendarEvents>
