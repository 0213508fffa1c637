import {connect} from 'node:net'
import {Writable} from 'node:stream'
import {createHttpServer, type HttpServerOptions} from '../../src/http/server.ts'
import {createLogger} from '../../src/http/logging.ts'
import type {Readiness} from '../../src/http/health.ts'

/** A server on a free port of the loopback, what it logged, and a way to say raw bytes to it. */
export async function startServer(
  options: Partial<HttpServerOptions> = {},
  addRoutes: (app: ReturnType<typeof createHttpServer>['app']) => void = () => undefined,
) {
  const lines: string[] = []
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString('utf8'))
      done()
    },
  })
  let ready: Readiness = {isReady: true}
  let made = 0
  const server = createHttpServer({
    logger: createLogger('trace', destination),
    ids: {uuid: () => `request-${++made}`},
    readiness: () => ready,
    ...options,
  })
  addRoutes(server.app)
  const url = await server.listen({host: '127.0.0.1', port: 0})
  return {
    server,
    url,
    log: () => lines.join(''),
    setReady: (readiness: Readiness) => {
      ready = readiness
    },
    /** Sends bytes on a connection of their own and answers all that came back until the server closed it. */
    say: async (...bytes: readonly (string | Buffer)[]) => {
      const socket = openSocket(url)
      for (const part of bytes) socket.write(part)
      return readToEnd(socket)
    },
    /** The same, for answers after which the server keeps the connection. */
    sayOnce: async (...bytes: readonly (string | Buffer)[]) => {
      const socket = openSocket(url)
      for (const part of bytes) socket.write(part)
      return readAnswer(socket)
    },
    open: () => openSocket(url),
  }
}

export function openSocket(url: string) {
  const {hostname, port} = new URL(url)
  const socket = connect({host: hostname, port: Number(port)})
  socket.on('error', () => socket.destroy())
  return socket
}

export async function readToEnd(socket: ReturnType<typeof openSocket>): Promise<string> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  // Not `once` of node:events: a reset is an end like any other here.
  await new Promise(resolve => socket.once('close', resolve))
  return Buffer.concat(chunks).toString('utf8')
}

/** Reads one answer by its Content-Length, then closes the connection. */
async function readAnswer(socket: ReturnType<typeof openSocket>): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    const {headers, body} = parseAnswer(text)
    if (text.includes('\r\n\r\n') && body.length >= Number(headers['content-length'])) socket.destroy()
  })
  await new Promise(resolve => socket.once('close', resolve))
  return text
}

/** The status, headers and JSON body of one raw answer. */
export function parseAnswer(text: string) {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [statusLine = '', ...headerLines] = head.split('\r\n')
  const headers = Object.fromEntries(
    headerLines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  return {status: Number(statusLine.split(' ')[1]), headers, body: rest.join('\r\n\r\n')}
}
