/** The data that passes between the parts of the node: what is asked to be written, what came of it, what is stored. */

/**
 * The revision of the event that ends a tombstoned stream. EventStoreDB has int64-max there, which no JavaScript
 * number holds; the node stores this one and writes int64-max on the wire.
 */
export const TOMBSTONE_REVISION = Number.MAX_SAFE_INTEGER

/** Most bytes of one append: Σ(data + metadata + 2 × length of the type), as EventStoreDB counts them. */
export const APPEND_BYTES_MAX = 1_048_576

export interface ProposedEvent {
  /** 16 bytes. */
  readonly id: Uint8Array
  readonly type: string
  readonly isJson: boolean
  readonly data: Uint8Array
  readonly metadata: Uint8Array
}

export interface StoredEvent extends ProposedEvent {
  /** ≥ 1, dense; both the commit and the prepare position on the wire. */
  readonly position: number
  readonly stream: string
  readonly revision: number
  /** Milliseconds since the Unix epoch. */
  readonly createdMs: number
}

/** The last revision the stream must have, or one of EventStoreDB's wildcards. */
export type Expected = number | 'noStream' | 'streamExists' | 'any'

export interface AppendWrite {
  readonly kind: 'append'
  readonly stream: string
  readonly expected: Expected
  readonly events: readonly ProposedEvent[]
}

export interface DeleteWrite {
  readonly kind: 'softDelete' | 'tombstone'
  readonly stream: string
  readonly expected: Expected
}

export type Write = AppendWrite | DeleteWrite

export type WriteOutcome =
  /** `revision` is null after an append of no events to no stream; `position` is null when nothing was stored. */
  | {readonly type: 'done'; readonly revision: number | null; readonly position: number | null}
  | {readonly type: 'wrongRevision'; readonly actual: number | null}
  | {readonly type: 'streamDeleted'}
  /** The deadline passed before the write was begun. */
  | {readonly type: 'timeout'}
  /** The disk is full: nothing was written. */
  | {readonly type: 'diskFull'; readonly message: string}
  /** The disk failed: whether the write survives a restart is unknown. */
  | {readonly type: 'failed'; readonly message: string}
