import {z} from 'zod'
import {stored, type EventOf} from '../kernel/messages.ts'

export const leaseCategory = 'lease'

/** Who may run the processes. One lease is enough: they share work that is small and belongs together. */
export const leaseStream = `${leaseCategory}-engine`

export const leaseEvents = {
  /** A node may act from now on; every later act carries the epoch. */
  LeaseTaken: {schema: z.object({holder: z.string(), epoch: z.int(), at: stored.instant})},
  LeaseRenewed: {schema: z.object({holder: z.string(), epoch: z.int(), at: stored.instant})},
  LeaseReleased: {schema: z.object({holder: z.string(), epoch: z.int(), at: stored.instant})},
} as const

export type LeaseEvent = EventOf<typeof leaseEvents>
