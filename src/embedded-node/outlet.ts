/** The sending end of a Read call: back-pressure, and the end of the call, in one place. */
import type {ServerWritableStream, ServiceError} from '@grpc/grpc-js'

import {burstWriter} from './burst-writer.ts'

export interface Outlet {
  /** Sends one message; resolves when the next may be sent. Answers null when that is now, which is the usual case. */
  send(bytes: Buffer): Promise<void> | null
  isOver(): boolean
  /** Ends the call as it should end. */
  finish(): void
  fail(error: ServiceError): void
  /** Waits for `subscribe` to wake it, or for the end of the call. */
  until(subscribe: (wake: () => void) => () => void): Promise<void>
}

/** `open` holds the calls that are open, so that a shutdown can end them. */
export function openOutlet<Request>(
  call: ServerWritableStream<Request, Buffer>,
  open: Set<(error: ServiceError) => void>,
): Outlet {
  const writer = burstWriter(call)
  let isOver = false
  let wakeUp: (() => void) | null = null

  const close = (): boolean => {
    if (isOver) return false
    isOver = true
    open.delete(fail)
    wakeUp?.()
    return true
  }
  const fail = (error: ServiceError): void => {
    if (close()) call.emit('error', error)
  }
  const until = (subscribe: (wake: () => void) => () => void): Promise<void> =>
    new Promise(resolve => {
      if (isOver) return resolve()
      const wake = (): void => {
        if (wakeUp !== wake) return
        wakeUp = null
        withdraw()
        resolve()
      }
      wakeUp = wake
      const withdraw = subscribe(wake)
    })

  open.add(fail)
  call.on('cancelled', close)
  call.on('close', close)
  return {
    send(bytes) {
      if (isOver) return null
      writer.write(bytes)
      return writer.isFull() ? until(wake => writer.onRoom(wake)) : null
    },
    isOver: () => isOver,
    finish() {
      if (close()) call.end()
    },
    fail,
    until,
  }
}
