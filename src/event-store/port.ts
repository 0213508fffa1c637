/**
 * The event store as the rest of Hourhand sees it. One adapter stands behind it (`esdb.ts`, the official client over
 * gRPC); the embedded node and a real EventStoreDB cluster are both reached through that adapter.
 */

/** A place in the log: `commit` orders all events of the store. Both are ≥ 0 and never reused. */
export interface Position {
  readonly commit: bigint
  readonly prepare: bigint
}

/** What an append expects of the stream: its last revision (0-based), or one of the wildcards of EventStoreDB. */
export type ExpectedRevision = bigint | 'noStream' | 'streamExists' | 'any'

/** An event to store. `id` is a UUID; the store ignores a repeat of the same ids at the same expected revision. */
export interface NewEvent {
  readonly id: string
  readonly type: string
  readonly data: unknown
  readonly metadata: Readonly<Record<string, unknown>>
}

/** An event as stored. `data` and `metadata` are parsed JSON, nothing of their shape is checked yet. */
export interface RecordedEvent {
  readonly id: string
  readonly type: string
  readonly stream: string
  /** 0-based number of the event in its stream. */
  readonly revision: bigint
  readonly position: Position
  /** When the store recorded it, milliseconds since the Unix epoch. Facts use the time in `metadata.at` instead. */
  readonly recordedAtMs: number
  readonly data: unknown
  readonly metadata: unknown
}

/** Where an append ended: the revision and position of its last event. */
export interface Appended {
  readonly revision: bigint
  readonly position: Position
}

export interface ReadStreamOptions {
  readonly direction?: 'forwards' | 'backwards'
  /** First revision to read, inclusive. Default: the start forwards, the end backwards. */
  readonly from?: bigint | 'start' | 'end'
  /** Most events to read; a bound is required so that nobody reads without end by accident. */
  readonly maxCount: number
}

export interface ReadAllOptions {
  readonly direction?: 'forwards' | 'backwards'
  /** Inclusive forwards, exclusive backwards, as EventStoreDB has it. */
  readonly from?: Position | 'start' | 'end'
  readonly maxCount: number
}

/** One message of a subscription to `$all`, in log order. */
export type AllMessage =
  | {readonly type: 'event'; readonly event: RecordedEvent}
  /** All up to here was considered: a safe place to resume from, although no event passed the filter. */
  | {readonly type: 'checkpoint'; readonly position: Position}
  /** Everything stored before the subscription began has been delivered; what follows is live. */
  | {readonly type: 'caughtUp'}

export interface SubscribeToAllOptions {
  /** Deliver events strictly after this position; absent means from the start of the log. */
  readonly after?: Position
  /** Leave out the store's own events (types that begin with `$`). Default true. */
  readonly excludeSystemEvents?: boolean
  /** Ends the iteration quietly. */
  readonly signal: AbortSignal
}

export interface SubscribeToStreamOptions {
  /** Deliver events strictly after this revision; absent means from the start of the stream. */
  readonly after?: bigint
  readonly signal: AbortSignal
}

/**
 * The port. Every promise settles within a bounded time. Errors are the classes below; anything else is a bug.
 * A missing stream reads as `null`, an existing one as its events (possibly none).
 */
export interface EventStore {
  /**
   * Appends atomically to one stream.
   * @throws WrongExpectedRevision nothing was written (by this call)
   * @throws OutcomeUnknown it may or may not have been written: repeat with the same ids and the same expectation
   * @throws StoreUnavailable nothing was written; try later
   * @throws StreamTombstoned, AppendTooLarge nothing was written; do not repeat
   */
  append(stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): Promise<Appended>
  /** Reads at most `maxCount` events of one stream. */
  readStream(stream: string, options: ReadStreamOptions): Promise<readonly RecordedEvent[] | null>
  /** Reads at most `maxCount` events of the whole log, system events included. */
  readAll(options: ReadAllOptions): Promise<readonly RecordedEvent[]>
  /**
   * Follows the whole log. One subscription of the server's: it throws `StoreUnavailable` when the connection is
   * lost; `subscription.ts` resumes it. Pulling slowly holds the server back; nothing is buffered without bound.
   */
  subscribeToAll(options: SubscribeToAllOptions): AsyncIterable<AllMessage>
  subscribeToStream(stream: string, options: SubscribeToStreamOptions): AsyncIterable<RecordedEvent>
  /** Soft-deletes a stream: its events are no longer readable, a later append continues its numbering. */
  deleteStream(stream: string, expected: ExpectedRevision): Promise<void>
  /** Deletes a stream for ever: no append to its name succeeds again. */
  tombstoneStream(stream: string, expected: ExpectedRevision): Promise<void>
  /** Answers true when the store answers reads now. Never throws. */
  isReady(): Promise<boolean>
  close(): Promise<void>
}

/** The stream is not where the append expected it; `actual` is its last revision, null when there is no stream. */
export class WrongExpectedRevision extends Error {
  override readonly name = 'WrongExpectedRevision'
  readonly stream: string
  readonly actual: bigint | null
  constructor(stream: string, actual: bigint | null) {
    super(
      `stream ${stream} is at revision ${actual === null ? 'none' : String(actual)}, not where the append expected it`,
    )
    this.stream = stream
    this.actual = actual
  }
}

/** No answer came: the append may have happened. Safe to repeat with the same ids and the same expectation. */
export class OutcomeUnknown extends Error {
  override readonly name = 'OutcomeUnknown'
}

/** The store cannot be reached or is not ready; nothing was written. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable'
}

/** The stream was tombstoned: its name is gone for ever. */
export class StreamTombstoned extends Error {
  override readonly name = 'StreamTombstoned'
}

/** The events are larger than the store takes in one append (1 MiB by default). */
export class AppendTooLarge extends Error {
  override readonly name = 'AppendTooLarge'
}
