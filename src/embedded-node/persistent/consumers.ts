/** The consumers that are connected to a group, each with its slots. */
import type {ServiceError} from '@grpc/grpc-js'

import type {Message} from './message.ts'
import {type Timings, timings} from './timings.ts'

/** The sending end of a consumer's call. */
export interface ConsumerCall {
  send(this: void, message: Message): void
  /** True while the consumer does not take what was sent. */
  isFull(this: void): boolean
  /** Ends the call. */
  fail(this: void, error: ServiceError): void
}

export interface Consumer {
  readonly call: ConsumerCall
  readonly user: string
  readonly connectionName: string
  readonly slots: number
  /** Sent and neither acknowledged nor refused. */
  readonly inFlight: Map<string, Message>
  readonly timings: Timings | null
  totalItems: number
  lastTotalItems: number
}

export function openConsumer(
  call: ConsumerCall,
  user: string,
  connectionName: string,
  slots: number,
  extraStatistics: boolean,
): Consumer {
  return {
    call,
    user,
    connectionName,
    slots,
    inFlight: new Map(),
    timings: extraStatistics ? timings() : null,
    totalItems: 0,
    lastTotalItems: 0,
  }
}

export const availableSlots = ({slots, inFlight}: Consumer): number => slots - inFlight.size

/** Sends the message if the consumer has room for it. */
export function offer(consumer: Consumer, message: Message): boolean {
  if (availableSlots(consumer) <= 0 || consumer.call.isFull()) return false
  consumer.inFlight.set(message.key, message)
  consumer.totalItems++
  consumer.timings?.begin(message.key)
  consumer.call.send(message)
  return true
}

export function release(consumer: Consumer, key: string): void {
  consumer.inFlight.delete(key)
  consumer.timings?.end(key)
}
