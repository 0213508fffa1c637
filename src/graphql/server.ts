import {Readable} from 'node:stream'
import type {FastifyInstance, FastifyReply, FastifyRequest} from 'fastify'
import {GraphQLError} from 'graphql/index.js'
import {createYoga} from 'graphql-yoga'
import {errorBody, HttpError, refusalOf, refusalOfStatus, type Refusal} from '../http/errors.ts'
import {claimOf, identify} from './authenticate.ts'
import type {RequestContext} from './context.ts'
import type {GraphqlParts} from './parts.ts'
import {hardening} from './plugin.ts'
import {schema} from './schema.ts'
import {createSubscriptions} from './subscriptions.ts'
import {serveWebSocket} from './websocket.ts'

export const path = '/graphql'
export const positionHeader = 'x-hourhand-position'

const positionWaitMs = 2000
const cachedDocumentsMax = 500
const cachedDocumentCharactersMax = 5000

/** Serves GraphQL at `/graphql`: over HTTP, as server-sent events, and over WebSocket. */
export function mountGraphql(app: FastifyInstance, parts: GraphqlParts): {close(): Promise<void>} {
  const subscriptions = createSubscriptions(parts)
  const yoga = createYoga<RequestContext>({
    schema,
    graphqlEndpoint: path,
    plugins: [hardening(parts)],
    // Everything that goes out is shaped by the plugin, which masks what is not meant for callers.
    maskedErrors: false,
    logging: false,
    graphiql: parts.development ? {title: 'Hourhand', defaultQuery: '{ services { id name } }'} : false,
    // From a package rather than from a public host; loaded when a browser first asks for it.
    renderGraphiQL: async options => (await import('@graphql-yoga/render-graphiql')).renderGraphiQL(options),
    landingPage: false,
    // Pages of other origins have no business here; without a grant their browsers stop them.
    cors: false,
    multipart: false,
    batching: false,
    parserAndValidationCache: {
      documentCache: boundedCache(),
      errorCache: boundedCache(),
    },
  })
  const socket = serveWebSocket(app, yoga, parts, subscriptions)
  app.route({
    method: ['GET', 'POST'],
    url: path,
    exposeHeadRoute: false,
    errorHandler(error, request, reply) {
      void answerRefusal(refusalOf(error), error, request, reply)
    },
    async handler(request, reply) {
      const asked = {requestId: request.id, arrivedAtMs: parts.arrivedAtMs(request.raw.socket)}
      checkForm(request)
      const claim = claimOf(parts, request.headers.authorization, request.id)
      if (claim === 'invalid') throw new HttpError(refusalOfStatus(401))
      // What was written up to there may be the very user who asks.
      await waitForPosition(request, parts)
      const identity = identify(parts, claim, asked)
      if (identity === null) throw new HttpError(refusalOfStatus(401))
      const context: RequestContext = {...identity, parts, subscriptions, requestId: request.id}
      const response = await yoga.handleNodeRequestAndResponse(request, reply, context)
      return sendResponse(response, reply)
    },
  })
  let closed: Promise<void> | null = null
  const close = (): Promise<void> => (closed ??= subscriptions.close().then(() => socket.close()))
  app.addHook('preClose', close)
  return {close}
}

/** Refuses what a page of another origin could send without asking first, and what only an old client sends. */
function checkForm({method, headers, body, url}: FastifyRequest): void {
  if (method === 'GET') {
    if (/__proto__|%5f%5fproto/i.test(url)) throw new HttpError({...refusalOfStatus(400), field: 'variables'})
    return
  }
  if (headers['content-type'] === undefined) throw new HttpError(refusalOfStatus(415))
  if (Array.isArray(body)) {
    throw new HttpError({status: 400, code: 'BATCHING', message: 'Send one operation at a time.'})
  }
}

async function waitForPosition({headers}: FastifyRequest, {waitFor}: GraphqlParts): Promise<void> {
  const position = headers[positionHeader]
  if (position === undefined) return
  if (typeof position !== 'string' || !/^\d{1,18}$/.test(position)) {
    const message = 'A position is what a mutation answered as its position.'
    throw new HttpError({status: 400, code: 'BAD_INPUT', message, field: positionHeader})
  }
  if (await waitFor(BigInt(position), positionWaitMs)) return
  const message = 'The read models of this node have not come so far yet. Ask again.'
  throw new HttpError({status: 503, code: 'UNAVAILABLE', message, field: positionHeader})
}

/** Also what fails before GraphQL is reached is answered in its form, so that clients need to know only one. */
function answerRefusal(refusal: Refusal, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (refusal.status >= 500 && !(error instanceof HttpError)) request.log.error({err: error}, 'request failed')
  const extensions = errorBody(refusal, request.id)
  return reply
    .code(refusal.status)
    .headers({...refusal.headers, ...(refusal.status === 401 ? {'www-authenticate': 'Bearer'} : {})})
    .type('application/json; charset=utf-8')
    .send(JSON.stringify({errors: [new GraphQLError(refusal.message, {extensions: {...extensions}})]}))
}

async function sendResponse(response: Response, reply: FastifyReply): Promise<FastifyReply> {
  const {status, body} = response
  if (body === null && status >= 400) throw new HttpError(refusalOfStatus(status))
  reply.code(status)
  const type = response.headers.get('content-type') ?? 'application/json; charset=utf-8'
  reply.header('content-type', type)
  const allow = response.headers.get('allow')
  if (allow !== null) reply.header('allow', allow)
  if (type.startsWith('text/html')) reply.header('content-security-policy', graphiqlPolicy)
  if (body === null || !type.startsWith('text/event-stream')) return reply.send(await response.text())
  // Not buffered by proxies on the way.
  reply.header('x-accel-buffering', 'no')
  return reply.send(Readable.from(body as AsyncIterable<Uint8Array>, {objectMode: false}))
}

/** GraphiQL, in development only, is one page with everything in it. */
const graphiqlPolicy =
  "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:; " +
  "worker-src blob:; frame-ancestors 'none'"

/** Documents are small and few in earnest; neither a flood of them nor a large one may stay. */
function boundedCache<Value>(): {get(key: string): Value | undefined; set(key: string, value: Value): void} {
  const entries = new Map<string, Value>()
  return {
    get: key => entries.get(key),
    set(key, value) {
      if (key.length > cachedDocumentCharactersMax) return
      entries.set(key, value)
      const [oldest] = entries.keys()
      if (entries.size > cachedDocumentsMax && oldest !== undefined) entries.delete(oldest)
    },
  }
}
