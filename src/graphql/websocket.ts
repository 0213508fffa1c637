import type {IncomingMessage} from 'node:http'
import type {Duplex} from 'node:stream'
import type {FastifyInstance} from 'fastify'
import {GraphQLError, type ExecutionArgs, type ExecutionResult} from 'graphql/index.js'
import {CloseCode, handleProtocols, makeServer, type Context, type SubscribePayload} from 'graphql-ws'
import type {YogaServerInstance} from 'graphql-yoga'
import {WebSocketServer, type WebSocket} from 'ws'
import {errorBody, refusalOfStatus} from '../http/errors.ts'
import type {Instant} from '../kernel/time.ts'
import {authenticate} from './authenticate.ts'
import type {RequestContext} from './context.ts'
import {PublicError, shapeErrors} from './errors.ts'
import type {GraphqlParts} from './parts.ts'
import {shapedResult, shapingOf, withoutStatus} from './plugin.ts'
import type {Subscriptions} from './subscriptions.ts'

type Yoga = YogaServerInstance<RequestContext, object>

interface Connection {
  readonly socket: WebSocket
  /** What carries it. */
  readonly under: Duplex
  readonly requestId: string
  /** Header of the upgrade; the one in `connection_init` counts more. */
  authorization: string | undefined
  expiresAt: Instant | null
  isExpired: boolean
  operations: number
}

type Session = Context<Record<string, unknown>, Connection>

const path = '/graphql'
const messageBytesMax = 128 * 1024
const connectionsMax = 5000
const operationsAtOnceMax = 50
/** What may wait for a client that does not read; beyond, the connection is cut. */
const unreadBytesMax = 4 * 1024 * 1024
const initTimeoutMs = 5000
const pingEveryMs = 12_000
const closeWaitMs = 1000

/** GraphQL over WebSocket (`graphql-transport-ws`) at `/graphql`, with the same rules as over HTTP. */
export function serveWebSocket(
  app: FastifyInstance,
  yoga: Yoga,
  parts: GraphqlParts,
  subscriptions: Subscriptions,
): {close(): Promise<void>} {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: messageBytesMax,
    handleProtocols,
    clientTracking: false,
  })
  const connections = new Set<Connection>()
  const server = graphqlServer(yoga, parts, subscriptions)
  // Part of Fastify's instances, and missing from their type.
  const {genReqId: newRequestId} = app as unknown as {readonly genReqId: (request: IncomingMessage) => string}

  const accept = (socket: WebSocket, request: IncomingMessage, requestId: string): void => {
    const {authorization} = request.headers
    const under = request.socket
    const fresh = {expiresAt: null, isExpired: false, operations: 0}
    const connection: Connection = {socket, under, requestId, authorization, ...fresh}
    connections.add(connection)
    attach(server, connection, parts, () => connections.delete(connection))
  }

  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const requestId = newRequestId(request)
    if (request.url?.split('?')[0] !== path) {
      // Others may have listeners of their own; if nobody has, nobody would ever answer.
      if (app.server.listenerCount('upgrade') === 1) refuse(socket, 404, requestId)
      return
    }
    const {authorization} = request.headers
    if (connections.size >= connectionsMax) return refuse(socket, 503, requestId)
    const asked = {requestId, arrivedAtMs: parts.arrivedAtMs(socket)}
    if (authorization !== undefined && authenticate(parts, authorization, asked) === null) {
      return refuse(socket, 401, requestId)
    }
    sockets.handleUpgrade(request, socket, head, webSocket => accept(webSocket, request, requestId))
  }
  app.server.on('upgrade', onUpgrade)

  const stopTicking = subscriptions.onTick(now => {
    for (const connection of connections) {
      const {socket, expiresAt, isExpired} = connection
      // One round later, when its subscriptions have been told.
      if (isExpired) socket.close(CloseCode.Unauthorized, 'The token ran out')
      connection.isExpired = expiresAt !== null && expiresAt <= now
    }
  })

  return {
    async close() {
      stopTicking()
      app.server.off('upgrade', onUpgrade)
      const open = [...connections].map(({socket}) => closed(socket, parts))
      await Promise.all(open)
      sockets.close()
    },
  }
}

function graphqlServer(yoga: Yoga, parts: GraphqlParts, subscriptions: Subscriptions) {
  const contextOf = ({extra}: Session): RequestContext | null => {
    const requestId = `${extra.requestId}.${++extra.operations}`
    const asked = {requestId, arrivedAtMs: parts.arrivedAtMs(extra.under)}
    const identity = authenticate(parts, extra.authorization, asked)
    if (identity === null || identity.caller === null) return null
    return {...identity, parts, subscriptions, requestId}
  }
  return makeServer<Record<string, unknown>, Connection>({
    connectionInitWaitTimeout: initTimeoutMs,
    onConnect(session) {
      const {extra, connectionParams} = session
      const sent = connectionParams?.['authorization'] ?? connectionParams?.['Authorization']
      if (sent !== undefined) extra.authorization = typeof sent === 'string' ? sent : ''
      const context = contextOf(session)
      if (context === null) {
        extra.socket.close(CloseCode.Unauthorized, 'Unauthorized')
        return false
      }
      extra.expiresAt = context.expiresAt
      return true
    },
    onSubscribe(session, _id, payload) {
      if (Object.keys(session.subscriptions).length > operationsAtOnceMax) {
        return [tooManyOperations(parts, session.extra.requestId)]
      }
      const context = contextOf(session)
      if (context === null) {
        session.extra.socket.close(CloseCode.Unauthorized, 'Unauthorized')
        return [new GraphQLError('Unauthorized')]
      }
      return prepared(yoga, context, payload)
    },
    execute: args => (args.rootValue as Executors).execute(args),
    subscribe: args => (args.rootValue as Executors).subscribe(args),
    // Errors of ours have their form already; what else ends a subscription is masked.
    onError: ({extra}, _id, _payload, errors) =>
      errors.map(error => (error.originalError === undefined ? error : masked(error, parts, extra.requestId)).toJSON()),
    onNext(_session, _id, _payload, args, result) {
      const shaping = shapingOf(args.contextValue as RequestContext)
      const {errors, ...rest} = shapedResult(result as ExecutionResult, shaping)
      return errors === undefined ? rest : {...rest, errors: errors.map(error => withoutStatus(error).toJSON())}
    },
  })
}

interface Executors {
  readonly execute: ReturnType<Yoga['getEnveloped']>['execute']
  readonly subscribe: ReturnType<Yoga['getEnveloped']>['subscribe']
}

/** Parses and checks an operation as Yoga does over HTTP; answers what is wrong with it, in the public form. */
async function prepared(
  yoga: Yoga,
  context: RequestContext,
  payload: SubscribePayload,
): Promise<ExecutionArgs | readonly GraphQLError[]> {
  const {schema, execute, subscribe, contextFactory, parse, validate} = yoga.getEnveloped({...context, params: payload})
  const faults = (errors: readonly GraphQLError[]) => shapeErrors(errors, shapingOf(context)).map(withoutStatus)
  try {
    const document = parse(payload.query)
    const errors = validate(schema, document)
    if (errors.length > 0) return faults(errors)
    return {
      schema,
      document,
      operationName: payload.operationName,
      variableValues: payload.variables,
      contextValue: await contextFactory(),
      rootValue: {execute, subscribe} satisfies Executors,
    }
  } catch (error) {
    if (error instanceof GraphQLError) return faults([error])
    throw error
  }
}

/** Connects a socket to the protocol's server; nothing it does can end the process or fill its memory. */
function attach(
  server: ReturnType<typeof graphqlServer>,
  connection: Connection,
  {logger}: GraphqlParts,
  onClosed: () => void,
): void {
  const {socket, requestId} = connection
  const failed = (error: unknown): void => {
    logger.error({err: error, requestId}, 'graphql connection failed')
    socket.close(CloseCode.InternalServerError, 'Internal server error')
  }
  const hasClosed = server.opened(
    {
      protocol: socket.protocol,
      send: data => sendTo(socket, data),
      close: (code, reason) => socket.close(code, reason),
      onMessage: handle => {
        socket.on('message', (data: Buffer) => {
          handle(data.toString('utf8')).catch(failed)
        })
      },
    },
    connection,
  )
  let isAlive = true
  const pinging = setInterval(() => {
    if (!isAlive) return socket.terminate()
    isAlive = false
    socket.ping()
  }, pingEveryMs)
  socket.on('pong', () => {
    isAlive = true
  })
  // A frame that is too large or broken: `ws` closes the socket with the fitting code.
  socket.on('error', error => logger.info({requestId, reason: error.message}, 'graphql connection broken'))
  socket.once('close', (code, reason) => {
    clearInterval(pinging)
    onClosed()
    hasClosed(code, reason.toString('utf8')).catch(failed)
  })
}

/** Resolves when the bytes are on their way, so that a slow reader slows down its own subscriptions. */
function sendTo(socket: WebSocket, data: string): Promise<void> {
  if (socket.readyState !== socket.OPEN) return Promise.resolve()
  if (socket.bufferedAmount > unreadBytesMax) {
    socket.terminate()
    return Promise.resolve()
  }
  const {promise, resolve} = Promise.withResolvers<void>()
  // An error here means that the socket is closing, of which its own event tells.
  socket.send(data, () => resolve())
  return promise
}

async function closed(socket: WebSocket, {timers}: GraphqlParts): Promise<void> {
  const {promise, resolve} = Promise.withResolvers<void>()
  socket.once('close', () => resolve())
  if (socket.readyState === socket.CLOSED) resolve()
  socket.close(1001, 'This node stops')
  const over = new AbortController()
  await Promise.race([promise, timers.sleep(closeWaitMs, over.signal)])
  over.abort()
  socket.terminate()
}

function refuse(socket: Duplex, status: number, requestId: string): void {
  const body = JSON.stringify(errorBody(refusalOfStatus(status), requestId))
  socket.on('error', () => socket.destroy())
  socket.end(
    `HTTP/1.1 ${status} Refused\r\ncontent-type: application/json; charset=utf-8\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nx-request-id: ${requestId}\r\nconnection: close\r\n\r\n${body}`,
  )
}

function tooManyOperations(parts: GraphqlParts, requestId: string): GraphQLError {
  const answer = {status: 429, code: 'OPERATION_LIMIT', message: 'Too many operations at once.', retryable: true}
  return masked(new PublicError(answer), parts, requestId)
}

function masked(error: GraphQLError, parts: GraphqlParts, requestId: string): GraphQLError {
  const [shaped] = shapeErrors([error], shapingOf({parts, requestId}))
  return withoutStatus(shaped ?? error)
}
