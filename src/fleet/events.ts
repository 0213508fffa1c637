import {z} from 'zod'
import type {MachineId} from '../kernel/ids.ts'
import {stored, type EventOf} from '../kernel/messages.ts'

export const machineCategory = 'machine'

export function machineStream(machineId: MachineId): string {
  return `${machineCategory}-${machineId}`
}

const machineId = stored.id<'Machine'>()
const at = stored.instant
const powerCommandId = z.string()

export const machineEvents = {
  MachineRegistered: {
    schema: z.object({
      machineId,
      name: z.string(),
      poolId: stored.id<'Pool'>(),
      services: z.array(stored.id<'Service'>()),
      driver: z.object({kind: z.string(), config: z.record(z.string(), z.unknown())}),
      at,
    }),
  },
  /** Written before the driver is called: a crash in between is resolved by looking at the machine. */
  PowerCommandIntended: {
    // Version 1 knew only commands that are sent at once.
    upcasts: [(data: unknown) => ({...(data as object), dueAt: (data as {readonly at: unknown}).at})],
    schema: z.object({
      machineId,
      powerCommandId,
      op: z.enum(['start', 'stop', 'kill']),
      /** The booking the machine is wanted on for; null when it is to be off. */
      wish: z.string().nullable(),
      /** 1 for the first try at bringing about what is wanted now. */
      attempt: z.int(),
      /** Of the lease under which it was intended; a lower one is refused from then on. */
      epoch: z.int(),
      /** When the driver is to be called: at once, or at a moment soon to come, for which everything is made ready. */
      dueAt: stored.instant,
      at,
    }),
  },
  /** A command that was not due yet is not wanted any more; it is never sent. */
  PowerCommandWithdrawn: {schema: z.object({machineId, powerCommandId, at})},
  PowerCommandAccepted: {schema: z.object({machineId, powerCommandId, at})},
  PowerCommandFailed: {
    schema: z.object({
      machineId,
      powerCommandId,
      errorClass: z.string(),
      message: z.string(),
      /** Not before this is it tried again. */
      retryAt: stored.instant,
      at,
    }),
  },
  /** What the machine was seen to do; written when it differs from what was last seen. */
  PowerObserved: {
    schema: z.object({machineId, power: z.enum(['off', 'on', 'unreachable']), reason: z.string().nullable(), at}),
  },
  /** The machine's own probe answered. */
  MachineReady: {schema: z.object({machineId, at})},
  /** Nothing more is tried with this machine until an operator lifts it. */
  MachineQuarantined: {schema: z.object({machineId, reason: z.string(), at})},
  QuarantineLifted: {schema: z.object({machineId, at})},
} as const

export type MachineEvent = EventOf<typeof machineEvents>
