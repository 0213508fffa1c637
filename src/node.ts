import {mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join, resolve} from 'node:path'
import {loadOrCreateDevelopmentSecrets, type Secrets} from './access/secrets.ts'
import {createTokens, type Tokens} from './access/tokens.ts'
import {defaultPolicy, type BookingPolicy} from './booking/policies.ts'
import type {Config} from './config.ts'
import {seedDevelopment} from './development.ts'
import {createFleet, driverFailureOf, type DriverRegistration, type Fleet} from './drivers/fleet.ts'
import {qemuKind} from './drivers/qemu.ts'
import {simulatedKind} from './drivers/simulated.ts'
import {startEmbeddedNode} from './embedded-node/node.ts'
import {createEngine, type Engine} from './engine.ts'
import {connectEventStore} from './event-store/esdb.ts'
import type {EventStore} from './event-store/port.ts'
import type {PowerTimings} from './fleet/power.ts'
import {mountGraphql} from './graphql/server.ts'
import {createLogger} from './http/logging.ts'
import {createHttpServer} from './http/server.ts'
import {mountSignIn} from './http/sign-in.ts'
import {systemClock, systemIds, systemRandom, systemRandomBytes, systemTimers} from './system.ts'

/** A running node: one process that serves, folds its read models, and acts when it holds the lease. */
export interface Node {
  /** What a person starting it wants to know. */
  readonly banner: readonly string[]
  /** Resolves when the node cannot go on. */
  readonly failed: Promise<Error>
  /** Lets what is under way finish, within 10 s each for requests and processes, and closes everything. */
  stop(): Promise<void>
}

export async function startNode(config: Config): Promise<Node> {
  const dataFolder = resolve(config.dataFolder)
  mkdirSync(dataFolder, {recursive: true})
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
    drivers: driversOf(fleet),
    readModelsFile: join(dataFolder, 'read-models.sqlite'),
    nodeId: nodeIdOf(dataFolder),
    exclusive: config.store.type === 'embedded',
    log: {
      warn: (what, error) => logger.warn({err: error}, what),
      alert: (what, error) => logger.error({err: error}, what),
    },
  })
  if (config.environment === 'development') await seedDevelopment(engine.operations)

  const http = createHttpServer({
    logger,
    ids: systemIds,
    trustedProxies: config.http.trustedProxies,
    readiness: () => readinessOf(store, engine),
  })
  const graphql = mountGraphql(http.app, {
    ...engine,
    verifyAccess: token => tokens.verifyAccess(token),
    clock: systemClock,
    timers: systemTimers,
    waitFor: (commit, timeoutMs) => engine.projections.waitFor(commit, timeoutMs),
    onBatch: listener => engine.projections.onBatch(listener),
    development: config.environment === 'development',
    logger,
  })
  mountSignIn(http.app, engine.people)
  const url = await http.listen(config.http)
  const stopping = new AbortController()
  const acting = engine.act(stopping.signal)
  const failed = Promise.race([opened.failed, failureOf(engine.projections.running), failureOf(acting)])
  if (config.environment === 'development') await engine.projections.caughtUp

  return {
    banner: await bannerOf(config, dataFolder, url, engine),
    failed,
    async stop() {
      await graphql.close()
      await http.close()
      stopping.abort()
      await acting.catch(() => undefined)
      await fleet.close()
      await engine.projections.stop()
      await store.close()
      await opened.close()
    },
  }
}

interface OpenedStore {
  readonly store: EventStore
  readonly failed: Promise<Error>
  close(): Promise<void>
}

/** Starts the embedded event store, or connects to the configured one. */
export async function openStore(config: Config, dataFolder: string): Promise<OpenedStore> {
  if (config.store.type === 'external') {
    const store = connectEventStore(config.store.url)
    return {store, failed: new Promise(() => {}), close: () => Promise.resolve()}
  }
  const embedded = await startEmbeddedNode({dataDir: join(dataFolder, 'events'), host: '127.0.0.1'})
  const store = connectEventStore(embedded.connectionString)
  return {store, failed: embedded.failed, close: () => embedded.close()}
}

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
  return loadOrCreateDevelopmentSecrets(dataFolder, systemRandomBytes)
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

function driversOf(fleet: Fleet) {
  return {
    kinds: fleet.kinds,
    parseConfig: (kind: string, config: unknown) => fleet.parseConfig(kind, config),
    driver: (machineId: string, registration: DriverRegistration) => fleet.driver(machineId, registration),
    failureOf: driverFailureOf,
  }
}

async function readinessOf(
  store: EventStore,
  engine: Engine,
): Promise<{readonly isReady: true} | {readonly isReady: false; readonly waitingFor: string}> {
  if (!(await store.isReady())) return {isReady: false, waitingFor: 'event store'}
  const halted = engine.projections.halted()[0]
  if (halted !== undefined) return {isReady: false, waitingFor: `read model ${halted.name}`}
  if (!engine.projections.isCaughtUp()) return {isReady: false, waitingFor: 'read models'}
  return {isReady: true}
}

async function failureOf(work: Promise<void>): Promise<Error> {
  try {
    await work
    return await new Promise<never>(() => {})
  } catch (error) {
    return error as Error
  }
}

async function bannerOf(config: Config, dataFolder: string, url: string, engine: Engine): Promise<readonly string[]> {
  const lines = [
    `Hourhand is ready: ${config.http.publicUrl}/graphql`,
    `  data      ${dataFolder}${config.store.type === 'external' ? ' (events in the configured cluster)' : ''}`,
    `  Discord   off; set DISCORD_TOKEN and DISCORD_APPLICATION_ID to turn it on`,
    `  payments  by hand: an operator marks a checkout paid`,
  ]
  if (config.http.publicUrl !== url) lines.splice(1, 0, `  listens   ${url}`)
  if (config.environment === 'development') {
    const token = await engine.people.ownerSignIn()
    lines.push(`  fleet     simulated, for trying things out`)
    lines.push(
      `  sign in   ${config.http.publicUrl}/sign-in#${token}`,
      `            as the owner, once, within 15 minutes`,
    )
  }
  return lines
}
