import type {Socket} from 'node:net'
import fastify, {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import type {Logger} from 'pino'
import type {IdSource} from '../kernel/ids.ts'
import {errorBody, HttpError, refusalOf, refusalOfStatus, type Refusal} from './errors.ts'
import {securityHeaders} from './headers.ts'
import {addHealth, type Readiness} from './health.ts'
import {scrubbedUrl} from './logging.ts'
import {answerClientError, answerRawFaults} from './raw-answers.ts'

export interface HttpServerOptions {
  readonly logger: Logger
  /** Names requests. */
  readonly ids: IdSource
  /** Asked by `/health/ready`; given two seconds to answer. */
  readonly readiness: () => Promise<Readiness> | Readiness
  /** Addresses or CIDR ranges whose `X-Forwarded-For` is believed; from all others it is ignored. */
  readonly trustedProxies?: readonly string[]
  /** Largest body; one route can set its own with `bodyLimit`. */
  readonly bodyBytesMax?: number
  readonly headersTimeoutMs?: number
  /** For the whole request, body included; not for the answer. */
  readonly requestTimeoutMs?: number
  /** How long `close` lets running requests and open sockets go on. */
  readonly drainMs?: number
}

export interface HttpServer {
  /** Routes and plugins are added here, before `listen`. JSON is the only body type unless a parser is added. */
  readonly app: FastifyInstance
  /** Starts to listen; port 0 picks a free one. Answers the address, e.g. `http://127.0.0.1:3000`. */
  listen(at: {readonly host: string; readonly port: number}): Promise<string>
  /** Refuses new requests, lets running ones finish, and cuts what is left after `drainMs`: done within 10 s. */
  close(): Promise<void>
}

/** A body of one megabyte is refused: the largest honest one is a GraphQL document of some kilobytes. */
const bodyBytesMaxDefault = 999_999
const drainedBytesMax = 16 * 1024 * 1024
const headerBytesMax = 16 * 1024
const connectionsMax = 10_000
const drainMsDefault = 9000
const abandonMs = 1000
/** How many connections may wait to be accepted, where the system does not set a lower bound. */
export const backlog = 511

/**
 * The HTTP server that everything else is mounted on. Every answer carries the security headers and a request id, and
 * every refusal, whoever makes it, has the one `ErrorBody`. In JSON the last of repeated keys counts, as RFC 8259
 * leaves open and `JSON.parse` does; a key `__proto__` is refused; so is a repeated query parameter.
 */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const {logger, ids, readiness, trustedProxies = [], drainMs = drainMsDefault} = options
  const newRequestId = () => ids.uuid()
  let isClosing = false
  const app: FastifyInstance = fastify({
    loggerInstance: asBaseLogger(logger),
    logController: new LogController({disableRequestLogging: true, requestIdLogLabel: 'requestId'}),
    genReqId: newRequestId,
    requestIdHeader: false,
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
    bodyLimit: options.bodyBytesMax ?? bodyBytesMaxDefault,
    requestTimeout: options.requestTimeoutMs ?? 30_000,
    // Longer than the idle time of common load balancers, so that it is they who close.
    keepAliveTimeout: 65_000,
    // Answered by our own hook below, in our own form.
    return503OnClosing: false,
    http: {
      maxHeaderSize: headerBytesMax,
      headersTimeout: options.headersTimeoutMs ?? 10_000,
      requestTimeout: options.requestTimeoutMs ?? 30_000,
      // How often the two time-outs are looked at; Node's 30 s would let a dripping client stay that much longer.
      connectionsCheckingInterval: Math.min(1000, options.headersTimeoutMs ?? 1000),
      // Node's own answer to a missing host has no body.
      requireHostHeader: false,
    },
    frameworkErrors(error, request, reply) {
      void answer(refusalOf(error), request, reply.headers(securityHeaders))
    },
    clientErrorHandler(error, socket) {
      const requestId = newRequestId()
      logger.info({requestId, reason: error.code}, 'malformed request')
      answerClientError(error, socket, requestId)
    },
  })
  app.server.maxConnections = connectionsMax
  answerRawFaults(app.server, newRequestId)
  app.removeContentTypeParser('text/plain')
  app.addHook('preClose', async () => {
    isClosing = true
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({...securityHeaders, 'x-request-id': request.id})
    if (isClosing) throw new HttpError(refusalOfStatus(503))
    checkRequest(request)
  })
  app.addHook('onSend', async (_request, reply) => {
    // A connection that was busy when closing began would otherwise be kept for the next request, and hold us up.
    if (isClosing) reply.header('connection', 'close')
  })
  app.addHook('onResponse', async (request, reply) => logResponse(request, reply))
  app.addHook('onResponse', async () => {
    // The headers of a stream that ends now promised to keep the connection, long before closing began.
    if (isClosing) setImmediate(() => app.server.closeIdleConnections())
  })
  app.setErrorHandler((error, request, reply) => {
    const refusal = refusalOf(error)
    if (refusal.status >= 500 && !(error instanceof HttpError)) request.log.error({err: error}, 'request failed')
    return answer(refusal, request, reply)
  })
  const allowedMethods = trackMethods(app)
  app.setNotFoundHandler((request, reply) => answer(refusalOfMiss(request, allowedMethods), request, reply))
  addHealth(app, readiness)
  return {
    app,
    listen: at => app.listen({...at, backlog}),
    close: closeWithin(app, drainMs, logger),
  }
}

function answer(refusal: Refusal, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (refusal.status === 413) drainBody(request, reply)
  return reply
    .code(refusal.status)
    .headers({'x-request-id': request.id, ...refusal.headers})
    .type('application/json; charset=utf-8')
    .send(errorBody(refusal, request.id))
}

/**
 * Reads on, up to a bound, while a sender still sends what was refused. Closed at once, as Fastify would, the kernel's
 * reset overtakes the answer and the sender sees a broken connection where it should see why.
 */
function drainBody(request: FastifyRequest, reply: FastifyReply): void {
  let bytesLeft = drainedBytesMax
  reply.removeHeader('connection')
  request.raw.on('data', (chunk: Buffer) => {
    bytesLeft -= chunk.length
    if (bytesLeft < 0) request.raw.destroy()
  })
}

/** Narrowed to what Fastify asks of a logger; with the full type of ours, every plugin would have to name it. */
function asBaseLogger(logger: FastifyBaseLogger): FastifyBaseLogger {
  return logger
}

function checkRequest(request: FastifyRequest): void {
  const hosts = request.raw.headersDistinct.host ?? []
  if (hosts.length > 1 || (hosts.length === 0 && request.raw.httpVersion !== '1.0')) {
    throw new HttpError({...refusalOfStatus(400), message: 'The request must name its host once.', field: 'host'})
  }
  const query = request.query as Readonly<Record<string, unknown>>
  const repeated = Object.keys(query).find(name => Array.isArray(query[name]))
  if (repeated !== undefined && !request.is404) {
    const message = 'A parameter is given more than once.'
    throw new HttpError({status: 400, code: 'REPEATED_PARAMETER', message, field: repeated.slice(0, 100)})
  }
}

/** Collects which methods each address takes, so that a wrong method is told from a wrong address. */
function trackMethods(app: FastifyInstance): (path: string) => readonly string[] {
  const routes: {readonly pattern: readonly string[]; readonly methods: readonly string[]}[] = []
  app.addHook('onRoute', ({url, method}) => {
    routes.push({pattern: url.split('/'), methods: [method].flat()})
  })
  return path => {
    const parts = path.split('/')
    const methods = routes.filter(({pattern}) => matches(pattern, parts)).flatMap(route => route.methods)
    return [...new Set(methods)].sort()
  }
}

function matches(pattern: readonly string[], parts: readonly string[]): boolean {
  const star = pattern.indexOf('*')
  if (star < 0 ? pattern.length !== parts.length : parts.length < star) return false
  const fixed = star < 0 ? pattern : pattern.slice(0, star)
  return fixed.every((segment, index) => segment === parts[index] || (segment.startsWith(':') && parts[index] !== ''))
}

const servedMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

function refusalOfMiss(request: FastifyRequest, allowedMethods: (path: string) => readonly string[]): Refusal {
  const [path = ''] = request.url.split('?')
  const allowed = allowedMethods(path)
  // TRACE is refused everywhere: it would hand a page the headers that it may not read.
  if (request.method === 'TRACE' || (allowed.length > 0 && servedMethods.has(request.method))) {
    const allow = allowed.length > 0 ? allowed.join(', ') : 'GET, HEAD, POST'
    return {...refusalOfStatus(405), headers: {allow}}
  }
  return refusalOfStatus(servedMethods.has(request.method) ? 404 : 501)
}

function logResponse(request: FastifyRequest, reply: FastifyReply): void {
  const line = {
    method: request.method,
    url: scrubbedUrl(request.url),
    ip: request.ip,
    status: reply.statusCode,
    durationMs: Math.round(reply.elapsedTime),
  }
  // Probes ask every few seconds; their lines would bury the others.
  if (request.url.startsWith('/health/')) request.log.debug(line, 'request')
  else request.log.info(line, 'request')
}

function closeWithin(app: FastifyInstance, drainMs: number, logger: Logger): () => Promise<void> {
  // Upgraded sockets are unknown to `closeAllConnections`, and would keep the server open for ever.
  const sockets = new Set<Socket>()
  app.server.on('connection', socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  let closed: Promise<void> | null = null
  return () => (closed ??= closeOnce())

  async function closeOnce() {
    const {promise: abandoned, resolve: abandon} = Promise.withResolvers<void>()
    const timers = [
      setTimeout(() => {
        logger.warn({sockets: sockets.size}, 'connections cut at the end of the drain')
        for (const socket of sockets) socket.destroy()
      }, drainMs),
      setTimeout(abandon, drainMs + abandonMs),
    ]
    try {
      await Promise.race([app.close(), abandoned])
    } finally {
      for (const timer of timers) clearTimeout(timer)
    }
  }
}
