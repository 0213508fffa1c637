/** A TCP connection that fails on purpose, between the client and the node. */
import {once} from 'node:events'
import {type AddressInfo, connect, createServer, type Socket} from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** From now on the bytes of one direction stay in the proxy. */
  hold(direction: 'requests' | 'replies'): void
  /** Lets pass what was held, and all that follows. */
  release(): void
  /** Ends all connections without a word. */
  cut(): void
  /** Ends the connections after so many more bytes of replies. */
  cutAfterReplyBytes(bytes: number): void
  close(): Promise<void>
}

/** Listens on a free port, or on `port`, and passes bytes on to `targetPort`. */
export async function startTcpProxy(targetPort: () => number, port = 0): Promise<TcpProxy> {
  const links = new Set<{readonly client: Socket; readonly target: Socket}>()
  let held: 'requests' | 'replies' | null = null
  let replyBytesLeft = Infinity

  const cut = (): void => {
    for (const {client, target} of links) {
      client.resetAndDestroy()
      target.destroy()
    }
    links.clear()
  }
  const pass = (from: Socket, to: Socket, direction: 'requests' | 'replies'): void => {
    from.on('data', bytes => {
      if (direction === 'replies') {
        replyBytesLeft -= bytes.length
        if (replyBytesLeft <= 0) {
          replyBytesLeft = Infinity
          return cut()
        }
      }
      if (!to.destroyed) to.write(bytes)
    })
    if (held === direction) from.pause()
    // What follows an end or an error of one side is the same for the other.
    from.on('error', () => to.destroy())
    from.on('close', () => to.destroy())
  }
  const server = createServer(client => {
    const target = connect(targetPort(), '127.0.0.1')
    links.add({client, target})
    pass(client, target, 'requests')
    pass(target, client, 'replies')
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    hold(direction) {
      held = direction
      for (const {client, target} of links) (direction === 'requests' ? client : target).pause()
    },
    release() {
      held = null
      for (const {client, target} of links) {
        client.resume()
        target.resume()
      }
    },
    cut,
    cutAfterReplyBytes(bytes) {
      replyBytesLeft = bytes
    },
    async close() {
      cut()
      const closed = once(server, 'close')
      server.close()
      await closed
    },
  }
}
