/** How many clients may be connected. Reaches into @grpc/grpc-js, which has no option for it. */
import {type Server, status} from '@grpc/grpc-js'
import type {Http2Server, Http2Session, IncomingHttpHeaders, ServerHttp2Stream} from 'node:http2'

export interface Connections {
  open(): number
  /** Since the start. */
  refused(): number
}

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void

/**
 * To be called when the server is bound. A client above the limit is answered, each call, with RESOURCE_EXHAUSTED and
 * the reason: one that is cut off would only be told that nobody answers, and would try for ever. Of those that do not
 * even read their answers at most as many again are let in; the system turns the others away.
 */
export function limitConnections(server: Server, connectionsMax: number): Connections {
  const {http2Servers} = server as unknown as {http2Servers: ReadonlyMap<Http2Server, unknown>}
  const admitted = new Set<Http2Session>()
  let refused = 0
  const text = encodeURI(`Too many connections: this node takes ${connectionsMax}`)
  const admit = (session: Http2Session): boolean => {
    if (admitted.has(session)) return true
    if (admitted.size >= connectionsMax) return false
    admitted.add(session)
    session.once('close', () => admitted.delete(session))
    return true
  }
  for (const http2Server of http2Servers.keys()) {
    http2Server.maxConnections = 2 * connectionsMax
    http2Server.on('session', session => {
      if (!admit(session)) refused++
    })
    const listeners = http2Server.listeners('stream') as StreamListener[]
    http2Server.removeAllListeners('stream')
    http2Server.on('stream', (stream, headers) => {
      // One that was refused is let in by a later call, when another has left.
      if (stream.session !== undefined && admit(stream.session)) {
        for (const listener of listeners) listener(stream, headers)
        return
      }
      const trailers = {'grpc-status': String(status.RESOURCE_EXHAUSTED), 'grpc-message': text}
      stream.respond({':status': 200, 'content-type': 'application/grpc+proto', ...trailers}, {endStream: true})
    })
  }
  return {open: () => admitted.size, refused: () => refused}
}
