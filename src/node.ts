import {accessSync, constants, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join, resolve} from 'node:path'
import type {Logger} from 'pino'
import {loadOrCreateDevelopmentSecrets, type Secrets} from './access/secrets.ts'
import {createTokens, type Tokens} from './access/tokens.ts'
import {bannerOf, signInLink, signInMinutes} from './banner.ts'
import {defaultPolicy, type BookingPolicy} from './booking/policies.ts'
import type {Config} from './config.ts'
import {seedDevelopment} from './development.ts'
import {createFleet, type Fleet} from './drivers/fleet.ts'
import {qemuKind} from './drivers/qemu.ts'
import {simulatedKind} from './drivers/simulated.ts'
import {DataFolderInUse, lockFolder, type FolderLock} from './embedded-node/folder-lock.ts'
import {startEmbeddedNode, type EmbeddedNode} from './embedded-node/node.ts'
import {createEngine, type Engine, type EngineLog} from './engine.ts'
import {connectEventStore} from './event-store/esdb.ts'
import {OutcomeUnknown, StoreUnavailable, type EventStore} from './event-store/port.ts'
import type {PowerTimings} from './fleet/power.ts'
import {mountGraphql} from './graphql/server.ts'
import {watchArrivals} from './http/arrivals.ts'
import type {Readiness} from './http/health.ts'
import {createLogger} from './http/logging.ts'
import {backlog, createHttpServer, type HttpServer} from './http/server.ts'
import {mountSignIn} from './http/sign-in.ts'
import {limitLeaseHistory} from './processes/lease-history.ts'
import {systemClock, systemIds, systemRandom, systemRandomBytes, systemTimers} from './system.ts'

/** A running node: one process that serves, folds its read models, and acts when it holds the lease. */
export interface Node {
  /** Where it listens, from the first moment on. */
  readonly url: string
  /**
   * Resolves, once the node can do its work, with what a person starting it wants to know. An event store that cannot
   * be reached is waited for; meanwhile the node serves, says that it is not ready, and refuses commands for now.
   */
  readonly ready: Promise<readonly string[]>
  /** Resolves when the node cannot go on. */
  readonly failed: Promise<Error>
  /** Lets what is under way finish, within 10 s each for requests and processes, and closes everything. */
  stop(): Promise<void>
}

/** The program cannot start here; the message tells a person why and what to do. */
export class CannotStart extends Error {}

/** @throws CannotStart */
export async function startNode(config: Config): Promise<Node> {
  const dataFolder = resolve(config.dataFolder)
  const logger = createLogger(config.environment === 'development' ? 'warn' : config.logLevel)
  const opened = await openStore(config, dataFolder)
  const {store} = opened
  const secrets = secretsOf(config, dataFolder)
  const fleet = fleetOf(dataFolder)
  const tokens = tokensOf(secrets)
  const engine = createEngine({
    store,
    tokens,
    clock: systemClock,
    timers: systemTimers,
    ids: systemIds,
    random: systemRandom,
    randomBytes: systemRandomBytes,
    masterKey: secrets.masterKey,
    policy: policyOf(config),
    timings: timingsOf(config),
    drivers: fleet,
    readModelsFile: join(dataFolder, 'read-models.sqlite'),
    nodeId: nodeIdOf(dataFolder),
    exclusive: config.store.type === 'embedded',
    log: engineLog(logger),
  })

  const preparation = {isDone: false}
  const http = createHttpServer({
    logger,
    ids: systemIds,
    trustedProxies: config.http.trustedProxies,
    readiness: () => readinessOf(store, engine, preparation),
  })
  const {server} = http.app
  const arrivals = watchArrivals({server, backlog, clock: systemClock, timers: systemTimers})
  const {earliestMs: arrivedAtMs} = arrivals
  const graphql = mountGraphql(http.app, {
    ...engine,
    arrivedAtMs,
    verifyAccess: token => tokens.verifyAccess(token),
    clock: systemClock,
    timers: systemTimers,
    waitFor: (commit, timeoutMs) => engine.projections.waitFor(commit, timeoutMs),
    onBatch: listener => engine.projections.onBatch(listener),
    development: config.environment === 'development',
    logger,
  })
  mountSignIn(http.app, engine.people, arrivedAtMs)
  // Somebody who opens the bare address is shown where to go.
  if (config.environment === 'development') http.app.get('/', (_request, reply) => reply.redirect('/graphql'))
  const url = await listen(http, config)
  const stopping = new AbortController()
  const prepared = prepare(config, store, engine, stopping.signal).then(() => {
    preparation.isDone = true
  })
  const acting = prepared.then(() => engine.act(stopping.signal))

  return {
    url,
    ready: prepared.then(() => bannerOf(config, dataFolder, url, tokens)),
    failed: Promise.race([opened.failed, failureOf(engine.projections.running, logger), failureOf(acting, logger)]),
    async stop() {
      await graphql.close()
      await http.close()
      await arrivals.close()
      stopping.abort()
      await acting.catch(() => undefined)
      await fleet.close()
      await engine.projections.stop()
      await store.close()
      await opened.close()
    },
  }
}

/** Writes what a node needs to find in the store and folds all there is; waits for the store as long as it takes. */
async function prepare(config: Config, store: EventStore, engine: Engine, signal: AbortSignal): Promise<void> {
  const {projections, people, operations, queries} = engine
  await Promise.race([projections.caughtUp, aborted(signal)])
  while (!signal.aborted) {
    try {
      // Makes sure that there is an owner; `owner-link` then needs nothing but the secrets.
      await people.ownerSignIn()
      if (config.store.type === 'external') await limitLeaseHistory(store, systemIds)
      if (config.environment === 'development') await seedDevelopment(operations, queries)
      const [last] = await store.readAll({direction: 'backwards', from: 'end', maxCount: 1})
      if (last === undefined || (await projections.waitFor(last.position.commit, foldMsMax))) return
    } catch (error) {
      if (!(error instanceof StoreUnavailable || error instanceof OutcomeUnknown)) throw error
      await systemTimers.sleep(storeRetryMs, signal)
    }
  }
}

const foldMsMax = 5_000
const storeRetryMs = 500

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => signal.addEventListener('abort', () => resolve(), {once: true}))
}

async function listen(http: HttpServer, {http: {host, port}}: Config): Promise<string> {
  try {
    return await http.listen({host, port})
  } catch (error) {
    const {code} = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') throw new CannotStart(`Port ${port} is in use. Set HOURHAND_PORT to another one.`)
    if (code === undefined || !code.startsWith('E')) throw error
    throw new CannotStart(`It cannot listen on the configured host and port (${code}). See HOURHAND_HOST.`)
  }
}

interface OpenedStore {
  readonly store: EventStore
  readonly failed: Promise<Error>
  close(): Promise<void>
}

/** Takes the data folder for this process alone, and starts the embedded event store or connects to the configured one. */
export async function openStore(config: Config, dataFolder: string): Promise<OpenedStore> {
  const lock = takeFolder(dataFolder)
  if (config.store.type === 'external') {
    const store = connectEventStore(config.store.url)
    return {store, failed: new Promise(() => {}), close: async () => lock.close()}
  }
  const embedded = await startEmbedded(dataFolder)
  const store = connectEventStore(embedded.connectionString)
  return {
    store,
    failed: embedded.failed,
    async close() {
      await embedded.close()
      lock.close()
    },
  }
}

/** The read models and the node's name are in the folder too: also with a cluster it belongs to one process. */
function takeFolder(dataFolder: string): FolderLock {
  try {
    mkdirSync(dataFolder, {recursive: true})
    accessSync(dataFolder, constants.R_OK | constants.W_OK)
    return lockFolder(dataFolder)
  } catch (error) {
    const remedy = 'set HOURHAND_DATA to another folder.'
    if (error instanceof DataFolderInUse) {
      throw new CannotStart(`Another process works in ${dataFolder}. Stop it, or ${remedy}`)
    }
    const {code = 'unknown'} = error as NodeJS.ErrnoException
    throw new CannotStart(`The data folder ${dataFolder} cannot be used (${code}). Mend it, or ${remedy}`)
  }
}

async function startEmbedded(dataFolder: string): Promise<EmbeddedNode> {
  try {
    return await startEmbeddedNode({dataDir: join(dataFolder, 'events'), host: '127.0.0.1'})
  } catch (error) {
    throw new CannotStart(`The event store in ${dataFolder} cannot be started: ${(error as Error).message}`)
  }
}

/** A connection that stays lost is told of now and then, not at every try. */
function engineLog(logger: Logger): EngineLog {
  let toldAtMs = -Infinity
  return {
    warn(what, error) {
      if (error instanceof StoreUnavailable) {
        const nowMs = systemClock.monotonicMs()
        if (nowMs - toldAtMs < storeToldEveryMs) return
        toldAtMs = nowMs
        return logger.warn({reason: error.message}, what)
      }
      logger.warn({err: error}, what)
    },
    alert: (what, error) => logger.error({err: error}, what),
  }
}

const storeToldEveryMs = 30_000

function fleetOf(dataFolder: string): Fleet {
  const statePath = join(dataFolder, 'simulated-machines.json')
  return createFleet([simulatedKind({clock: systemClock, random: systemRandom, statePath}), qemuKind()])
}

function tokensOf(secrets: Secrets): Tokens {
  const names = {issuer: 'hourhand', audience: 'hourhand'}
  return createTokens({...names, keys: secrets.tokenKeys, clock: systemClock, ids: systemIds})
}

function secretsOf(config: Config, dataFolder: string): Secrets {
  if (config.secrets.type === 'configured') return config.secrets
  try {
    return loadOrCreateDevelopmentSecrets(dataFolder, systemRandomBytes)
  } catch (error) {
    throw new CannotStart((error as Error).message)
  }
}

/** Names this data folder, so that a restart on it can take up its own lease at once. */
function nodeIdOf(dataFolder: string): string {
  const file = join(dataFolder, 'node-id')
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    const id = systemIds.uuid()
    writeFileSync(file, `${id}\n`)
    return id
  }
}

const quarterHour = 15

function policyOf({booking}: Config): BookingPolicy {
  // Offered starts are on the quarter-hour, or on the booking step where that is finer.
  const slotStepMinutes = booking.stepMinutes % quarterHour === 0 ? quarterHour : booking.stepMinutes
  return {...defaultPolicy, ...booking, slotStepMinutes}
}

function timingsOf({power}: Config): PowerTimings {
  return {
    bootTimeoutSeconds: power.bootTimeoutMs / 1000,
    stopResendSeconds: power.stopResendMs / 1000,
    stopGraceSeconds: power.stopGraceMs / 1000,
    killSeconds: power.killMs / 1000,
    attemptsMax: 3,
  }
}

async function readinessOf(
  store: EventStore,
  engine: Engine,
  preparation: {readonly isDone: boolean},
): Promise<Readiness> {
  if (!(await store.isReady())) return {isReady: false, waitingFor: 'event store'}
  const halted = engine.projections.halted()[0]
  if (halted !== undefined) return {isReady: false, waitingFor: `read model ${halted.name}`}
  if (!preparation.isDone) return {isReady: false, waitingFor: 'read models'}
  return {isReady: true}
}

/** What ends these is a bug: its stack goes to the log. */
async function failureOf(work: Promise<void>, logger: Logger): Promise<Error> {
  try {
    await work
    return await new Promise<never>(() => {})
  } catch (error) {
    logger.fatal({err: error}, 'a part of the node failed')
    return error as Error
  }
}

/** A one-time sign-in link for the owner, as text to print; e.g. for the very first owner in production. */
export function ownerLink(config: Config): string {
  const tokens = tokensOf(secretsOf(config, resolve(config.dataFolder)))
  return `${signInLink(config.http.publicUrl, tokens)}\n(as the owner, once, within ${signInMinutes} minutes)`
}
