import {STATUS_CODES, type IncomingMessage, type Server, type ServerResponse} from 'node:http'
import type {Duplex} from 'node:stream'
import {errorBody, refusalOfStatus} from './errors.ts'
import {securityHeaders} from './headers.ts'

// Answers to what never becomes a request: Node gives up on it before Fastify sees it, and would answer in its own way.

/** Answers malformed, oversized and dripping requests, CONNECT, and unknown expectations on this server. */
export function answerRawFaults(server: Server, newRequestId: () => string): void {
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    answerOnSocket(socket, 405, newRequestId())
  })
  server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    const {body, headers} = answerOf(417, newRequestId())
    response.writeHead(417, headers).end(body)
  })
}

/** Answers an error of Node's HTTP parser or of its time-outs, and closes the connection. */
export function answerClientError(
  error: {readonly code?: string; readonly rawPacket?: unknown},
  socket: Duplex,
  requestId: string,
): void {
  // With an answer under way, a second one would be read as part of its body.
  const {_httpMessage: current} = socket as {_httpMessage?: {_headerSent?: boolean} | null}
  if (error.code === 'ECONNRESET' || !socket.writable || current?._headerSent === true) {
    socket.destroy()
    return
  }
  answerOnSocket(socket, statusOf(error), requestId)
}

const lingerMs = 1000

const statusByCode: ReadonlyMap<string, number> = new Map([
  ['ERR_HTTP_REQUEST_TIMEOUT', 408],
  ['HPE_HEADER_OVERFLOW', 431],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', 413],
])

function statusOf({code = '', rawPacket}: {readonly code?: string; readonly rawPacket?: unknown}): number {
  // The parser gives the same reason for a verb that it does not know and for what is no HTTP at all.
  const start = Buffer.isBuffer(rawPacket) ? rawPacket.toString('latin1', 0, 64) : ''
  if (code === 'HPE_INVALID_METHOD' && /^[A-Za-z-]{1,32} [/*]/.test(start)) return 501
  return statusByCode.get(code) ?? 400
}

function answerOnSocket(socket: Duplex, status: number, requestId: string): void {
  const {body, headers} = answerOf(status, requestId)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  // A peer that resets meanwhile is no concern of ours; without a listener it would end the process.
  socket.on('error', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`)
  // Closed with unread bytes, the kernel would send a reset that overtakes the answer; so they are read for a moment.
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}

function answerOf(status: number, requestId: string) {
  const body = JSON.stringify(errorBody(refusalOfStatus(status), requestId))
  const headers = {
    ...securityHeaders,
    'x-request-id': requestId,
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
    ...(status === 405 ? {allow: 'GET, HEAD, POST'} : {}),
  }
  return {body, headers}
}
