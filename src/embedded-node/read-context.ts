/** What reads and subscriptions share. */
import {type ServiceError, status} from '@grpc/grpc-js'

import {grpcError} from './grpc-errors.ts'
import {BadMessage} from './protobuf.ts'
import {isLink, resolveLink} from './reader.ts'
import type {ReadRequest} from './read-request.ts'
import type {StoredEvent} from './records.ts'
import type {Store} from './store.ts'
import type {Tail} from './tail.ts'
import {encodeReadEvent} from './read-messages.ts'

export interface ReadContext {
  readonly store: Store
  readonly tail: Tail
  readonly nowMs: () => number
  /** Calls that are open, to be ended by a shutdown. */
  readonly openReads: Set<(error: ServiceError) => void>
  /** More at once are refused. */
  readonly readsMax: number
  readonly load: ReadLoad
  /** Told of errors of the disk, which end the node. */
  readonly broken: (error: Error) => void
  /**
   * Runs work that nobody waits for. An error that is not the request's fault is one of the disk, which ends the node.
   * @throws BadMessage
   */
  readonly guard: (work: () => void) => void
}

export function guardedBy(broken: (error: Error) => void): ReadContext['guard'] {
  return work => {
    try {
      work()
    } catch (error) {
      if (error instanceof BadMessage) throw error
      broken(error instanceof Error ? error : new Error(String(error)))
    }
  }
}

/** Counted for `/stats`. */
export interface ReadLoad {
  subscriptions: number
  refused: number
}

/** Null while one more call may be served. */
export function readsRefusal({openReads, readsMax, load}: ReadContext): ServiceError | null {
  if (openReads.size < readsMax) return null
  load.refused++
  return grpcError(
    status.RESOURCE_EXHAUSTED,
    `Too many reads and subscriptions: this node serves ${readsMax} at a time`,
  )
}

export function encodeForRead(context: ReadContext, request: ReadRequest, event: StoredEvent): Buffer {
  if (!request.resolveLinks || !isLink(event)) return encodeReadEvent(event, null, request.uuidForm)
  return encodeReadEvent(resolveLink(context.store, event), event, request.uuidForm)
}

/** Lets appends and other readers in between two pages. */
export const turnOfOthers = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
