import {derivedUuid, type CommandId} from '../kernel/ids.ts'
import type {Actor} from '../kernel/messages.ts'
import type {Clock, Timers} from '../kernel/time.ts'
import type {EventStore} from './port.ts'
import type {Registry} from './registry.ts'

/** Who sends a command and what it belongs to; goes into the metadata of every event that follows. */
export interface CommandMeta {
  /** A repeat of a command carries the same id: the ids of its events derive from it. */
  readonly commandId: CommandId
  readonly correlationId: string
  readonly actor: Actor
  /**
   * When somebody began to wait for the answer, at the earliest, on this process's monotonic clock: see `HandlerLimits`.
   * Absent: the command is to be carried out whoever waits, as those of processes are.
   */
  readonly arrivedAtMs?: number | undefined
  /**
   * Asked before every decision; once it answers false, nothing more is decided, and the command ends with `CameTooLate`.
   * For what was seen under a lease, which may have run out while the command waited.
   */
  readonly onlyWhile?: () => boolean
}

export interface HandleOptions {
  /**
   * The stream most likely does not exist yet: decide without asking for it first. Should it exist after all, the
   * append finds out and the command is decided again on what is there.
   */
  readonly isNew?: boolean
}

/** The answer to a command: what was written (nothing when it was already so), or why it was refused. */
export type Handled<State, Event, Refusal> =
  | (Decided<State> & {readonly ok: true; readonly events: readonly Event[]; readonly commit: bigint | null})
  | (Decided<State> & {readonly ok: false; readonly refusal: Refusal})

interface Decided<State> {
  readonly state: State
  /** Position of the last event of the stream that the answer knows of, be it written by it or not; null: there is none. */
  readonly reached: bigint | null
}

/** The stream changed under every one of a bounded number of tries. Nothing was written; the caller may try again. */
export class TooManyConflicts extends Error {
  override readonly name = 'TooManyConflicts'
}

/** More commands wait for this stream than the bound allows. Nothing was written; the caller may try again. */
export class QueueFull extends Error {
  override readonly name = 'QueueFull'
}

/**
 * The command was not decided while it was still time to (see `CommandMeta.onlyWhile` and `HandlerLimits.answerableMs`).
 * Nothing was written; who does wait may send it again under the same key.
 */
export class CameTooLate extends Error {
  override readonly name = 'CameTooLate'
}

export interface HandlerParts {
  readonly store: EventStore
  readonly registry: Registry
  readonly clock: Clock
  readonly timers: Timers
  /** 0 ≤ x < 1, for the jitter between tries. */
  readonly random: () => number
}

export interface HandlerLimits {
  /** So many streams used last stay folded, at most twice as many. */
  readonly cachedStreamsMax: number
  readonly batchMax: number
  readonly queueMax: number
  readonly conflictRetriesMax: number
  readonly unknownRetriesMax: number
  /**
   * A command that somebody waits for is decided within this of its arrival, or not at all. Whoever got no answer for
   * longer than this, with some time for the append, can rely on it: what did not happen by then does not happen any
   * more, unless they send it again. Far more than a command takes to be decided even under load, and less than clients
   * commonly wait before they turn to another node.
   */
  readonly answerableMs: number
}

export const defaultLimits: HandlerLimits = {
  cachedStreamsMax: 10_000,
  batchMax: 128,
  queueMax: 10_000,
  conflictRetriesMax: 5,
  unknownRetriesMax: 5,
  answerableMs: 5_000,
}

/**
 * The id of the `index`-th event that follows from a command on a stream. The data is part of it: a store takes an
 * append of known ids for a repeat and does not look at what they hold, so that other data must have another id.
 */
export function eventIdOf(commandId: CommandId, stream: string, index: number, data: unknown): string {
  return derivedUuid(commandId, stream, String(index), JSON.stringify(data))
}
