import {connect, type Socket} from 'node:net'
import {addAbortSignal} from 'node:stream'
import {setTimeout as delay} from 'node:timers/promises'

/** Tries until the socket takes us: at start it is not there yet, and EAGAIN says that its short queue is full. */
export async function connected(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    const socket = addAbortSignal(signal, connect({path}))
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve)
        socket.once('error', reject)
      })
      return socket
    } catch (error) {
      socket.destroy()
      if (signal.aborted || !mayComeRight.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      await delay(25, undefined, {signal})
    }
  }
}

const mayComeRight = new Set(['ENOENT', 'ECONNREFUSED', 'EAGAIN'])
