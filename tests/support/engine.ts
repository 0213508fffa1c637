/** The whole engine in this process: event store, read models, processes, HTTP and GraphQL, on a clock that stands. */
import {randomBytes, randomUUID} from 'node:crypto'
import {rm} from 'node:fs/promises'
import {join} from 'node:path'
import {setTimeout as after} from 'node:timers/promises'
import {loadOrCreateDevelopmentSecrets} from '../../src/access/secrets.ts'
import {createTokens, type Tokens} from '../../src/access/tokens.ts'
import {allRoles, type Role} from '../../src/access/events.ts'
import {defaultPolicy, type BookingPolicy} from '../../src/booking/policies.ts'
import type {Caller} from '../../src/dispatch/caller.ts'
import {createFleet} from '../../src/drivers/fleet.ts'
import {simulatedKind} from '../../src/drivers/simulated.ts'
import {startEmbeddedNode} from '../../src/embedded-node/node.ts'
import {createEngine, type Engine} from '../../src/engine.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import type {GraphqlParts} from '../../src/graphql/parts.ts'
import {mountGraphql} from '../../src/graphql/server.ts'
import {watchArrivals} from '../../src/http/arrivals.ts'
import {createLogger} from '../../src/http/logging.ts'
import {backlog, createHttpServer, type HttpServer} from '../../src/http/server.ts'
import {mountSignIn} from '../../src/http/sign-in.ts'
import {idOf, type UserId} from '../../src/kernel/ids.ts'
import {instantFromMs, msOf, parseInstant, type Clock, type Instant, type Timers} from '../../src/kernel/time.ts'
import {seeded} from './given.ts'
import {temporaryFolder} from './store.ts'

export interface EngineOptions {
  /** Where the clock stands at first. */
  readonly now?: string
  readonly policy?: Partial<BookingPolicy>
  /** Whether the processes run (default true): without them nothing settles after a booking's end. */
  readonly acting?: boolean
  /** GraphiQL, introspection and hints; default false, as in production. */
  readonly development?: boolean
  readonly limits?: GraphqlParts['limits']
  /** A pool `eu` with so many simulated machines `eu-1` …; default 2. */
  readonly machines?: number
  /** Stands between the engine and the store, to fail on purpose. */
  readonly wrapStore?: (store: EventStore) => EventStore
  /** Changes what GraphQL is built on, to fail on purpose. */
  readonly wrapParts?: (parts: GraphqlParts) => GraphqlParts
}

export interface TestEngine {
  readonly engine: Engine
  readonly http: HttpServer
  /** E.g. `http://127.0.0.1:40123`. */
  readonly url: string
  readonly tokens: Tokens
  readonly clock: Clock & {advance(ms: number): void; set(instant: Instant): void}
  /** All lines logged so far. */
  readonly log: () => string
  /** Registers a user; resolves once the read models know them. */
  addUser(name: string, roles?: readonly Role[]): Promise<TestUser>
  /** Gives hours; resolves once the read models know. */
  grant(user: TestUser, minutes: number): Promise<void>
  /** Waits until the read models hold all that is in the log now. */
  settled(): Promise<void>
  stop(): Promise<void>
}

export interface TestUser {
  readonly userId: UserId
  readonly roles: readonly Role[]
  readonly caller: Caller
  /** A bearer token of now, valid for 15 minutes. */
  token(ttlSeconds?: number): string
}

/** The catalogue every engine begins with: services `ench` and `boss`, realm `EU` on pool `eu`, pack `pack-10h`. */
const prices = {ench: 1000, boss: 2000} as const

export async function startEngine(options: EngineOptions = {}): Promise<TestEngine> {
  const folder = await temporaryFolder()
  const node = await startEmbeddedNode({dataDir: join(folder, 'events'), host: '127.0.0.1'})
  const connected = connectEventStore(node.connectionString)
  const store = options.wrapStore?.(connected) ?? connected
  const clock = standingClock(options.now ?? '2026-11-21T10:00:00.000Z')
  const secrets = loadOrCreateDevelopmentSecrets(folder, randomBytes)
  const ids = {uuid: () => randomUUID()}
  const common = {issuer: 'hourhand', audience: 'hourhand', clock, ids}
  const tokens = createTokens({keys: secrets.tokenKeys, ...common})
  const chance = seeded(1)
  const random = () => chance.next()
  const fleet = createFleet([simulatedKind({clock, random, statePath: join(folder, 'machines.json')})])
  const lines: string[] = []
  const logger = createLogger('debug', {write: line => lines.push(line)})
  const engine = createEngine({
    store,
    clock,
    timers,
    ids,
    random,
    randomBytes,
    tokens,
    masterKey: secrets.masterKey,
    policy: {...defaultPolicy, ...options.policy},
    timings: {bootTimeoutSeconds: 300, stopResendSeconds: 10, stopGraceSeconds: 60, killSeconds: 30, attemptsMax: 3},
    drivers: fleet,
    readModelsFile: ':memory:',
    nodeId: 'test-node',
    exclusive: true,
    log: {
      warn: (what, error) => logger.warn({err: error}, what),
      alert: (what, error) => logger.error({err: error}, what),
    },
  })
  // Clients may hold connections open on which they never ask anything; tests need not wait for those.
  const http = createHttpServer({logger, ids, readiness: () => ({isReady: true}), drainMs: 500})
  const arrivals = watchArrivals({server: http.app.server, backlog, clock, timers})
  const parts: GraphqlParts = {
    ...engine,
    arrivedAtMs: arrivals.earliestMs,
    clock,
    timers,
    logger,
    development: options.development ?? false,
    verifyAccess: token => tokens.verifyAccess(token),
    waitFor: (commit, timeoutMs) => engine.projections.waitFor(commit, timeoutMs),
    onBatch: listener => engine.projections.onBatch(listener),
    ...(options.limits === undefined ? {} : {limits: options.limits}),
  }
  const wrapped = options.wrapParts?.(parts) ?? parts
  const graphql = mountGraphql(http.app, wrapped)
  mountSignIn(http.app, engine.people, wrapped.arrivedAtMs)
  const url = await http.listen({host: '127.0.0.1', port: 0})
  const stopping = new AbortController()
  const acting = options.acting === false ? Promise.resolve() : engine.act(stopping.signal)

  const settled = async (): Promise<void> => {
    const [last] = await connected.readAll({direction: 'backwards', from: 'end', maxCount: 1})
    const reached = last === undefined || (await engine.projections.waitFor(last.position.commit, 20_000))
    if (!reached) throw new Error('the read models do not come after the log')
  }
  const owner: Caller = {userId: idOf('owner'), roles: [...allRoles], requestId: 'test-setup'}
  await seed(engine, owner, options.machines ?? 2)
  await settled()

  return {
    engine,
    http,
    url,
    tokens,
    clock,
    settled,
    log: () => lines.join(''),
    async addUser(name, roles = ['customer']) {
      const request = {idempotencyKey: `user-${name}`, displayName: name, roles}
      const answer = await engine.people.registerUser(owner, request)
      if (!answer.ok) throw new Error(`${name} could not be registered: ${answer.refusal.type}`)
      await settled()
      const {userId} = answer.value
      const issue = (ttlSeconds?: number): string =>
        tokens.issueAccess({userId, roles, ...(ttlSeconds === undefined ? {} : {ttlSeconds})})
      return {userId, roles, caller: {userId, roles, requestId: `test-${name}`}, token: issue}
    },
    async grant({userId}, minutes) {
      const gift = {userId, minutes, reason: 'for a test', expiresAt: null}
      const answer = await engine.purchases.grantHours(owner, {idempotencyKey: randomUUID(), ...gift})
      if (!answer.ok) throw new Error(`no hours granted: ${answer.refusal.type}`)
      await settled()
    },
    async stop() {
      await graphql.close()
      await http.close()
      await arrivals.close()
      stopping.abort()
      await acting
      await fleet.close()
      await engine.projections.stop()
      await connected.close()
      await node.close()
      await rm(folder, {recursive: true, force: true})
    },
  }
}

async function seed({operations}: Engine, owner: Caller, machines: number): Promise<void> {
  const services = Object.entries(prices).map(([code, amountMinor]) => {
    const pricePerHour = {amountMinor, currency: 'USD'}
    return {type: 'ListService', service: {serviceId: idOf<'Service'>(code), name: code, pricePerHour}} as const
  })
  const realm = {realmId: idOf<'Realm'>('EU'), name: 'Europe', poolId: idOf<'Pool'>('eu')}
  const price = {amountMinor: 9500, currency: 'USD'}
  const pack = {packId: idOf<'Pack'>('pack-10h'), name: '10 hours', minutes: 600, price}
  const commands = [...services, {type: 'ListRealm', realm}, {type: 'ListPack', pack}] as const
  for (const [index, command] of commands.entries()) {
    await operations.changeCatalogue(owner, {idempotencyKey: `seed-${index}`, command})
  }
  for (let number = 1; number <= machines; number++) {
    await operations.registerMachine(owner, {
      idempotencyKey: `machine-${number}`,
      machineId: idOf(`eu-${number}`),
      name: `Europe ${number}`,
      poolId: idOf('eu'),
      services: Object.keys(prices).map(code => idOf<'Service'>(code)),
      driver: {kind: 'simulated', config: {bootSeconds: 20, stopSeconds: 5}},
    })
  }
}

/** Moves only when told to; what counts waiting time goes on. */
function standingClock(start: string): TestEngine['clock'] {
  let now = parseInstant(start)
  if (now === null) throw new Error(`no time: ${start}`)
  const read = (): Instant => now as Instant
  return {
    now: read,
    monotonicMs: () => performance.now(),
    advance(ms) {
      now = instantFromMs(msOf(read()) + ms)
    },
    set(instant) {
      now = instant
    },
  }
}

const timers: Timers = {
  async sleep(ms, signal) {
    try {
      await after(ms, undefined, signal === undefined ? {} : {signal})
    } catch (error) {
      if (signal?.aborted !== true) throw error
    }
  },
}
