/** The node itself: the store, the gRPC services over it, and its end. Runs in a thread of its own (worker.ts). */
import {PersistentSubscriptionsService} from '@eventstore/db-client/generated/persistent_grpc_pb.js'
import {StreamsService} from '@eventstore/db-client/generated/streams_grpc_pb.js'
import type {ReadReq} from '@eventstore/db-client/generated/streams_pb.js'
import {Server, type ServerWritableStream, type ServiceError, status} from '@grpc/grpc-js'

import {writeCalls} from './append-service.ts'
import {pendingOfAll} from './burst-writer.ts'
import {type Connections, limitConnections} from './connections.ts'
import {type Control, openControl} from './control.ts'
import {addGossip, addServerFeatures, SERVER_VERSION} from './features.ts'
import {groupCommit} from './group-commit.ts'
import {grpcError} from './grpc-errors.ts'
import {addOperations, operations} from './operations-service.ts'
import {openHub} from './persistent/hub.ts'
import {addPersistentSubscriptions} from './persistent/service.ts'
import type {Storage} from './log-file.ts'
import {createMeter, type Meter} from './meter.ts'
import {guardedBy, type ReadLoad} from './read-context.ts'
import {serveRead} from './read-service.ts'
import type {StoredEvent} from './records.ts'
import {requireAccount, type Security, serverCredentials} from './security.ts'
import {openStore, type Store} from './store.ts'
import {createTail} from './tail.ts'
import {openUpkeep, type Upkeep} from './upkeep.ts'

export interface RunningServer {
  readonly port: number
  /** The side door of control.ts. */
  readonly controlUrl: string
  /** Answers what is in flight as a stopping EventStoreDB does, and releases the folder. */
  stop(): Promise<void>
}

export interface ServerSettings {
  readonly dataDir: string
  /** Loopback unless there is `security`. */
  readonly host: string
  /** The name that clients looking for a cluster are sent to; default `host`. */
  readonly advertisedHost?: string | undefined
  /** 0 takes a free port. */
  readonly port: number
  /** Of `/health` and `/stats`; default a free one. */
  readonly controlPort?: number | undefined
  readonly security?: Security | undefined
  readonly limits?: Limits | undefined
  readonly storage?: Storage | undefined
  readonly checkpointEveryBytes?: number | undefined
  /** Told what an operator wants to know. */
  readonly notice?: (text: string) => void
  /** Called once when the disk failed; nothing more is acknowledged from then on. */
  readonly broken: (error: Error) => void
}

export interface Limits {
  readonly connectionsMax: number
  /** Reads and subscriptions at a time. */
  readonly readsMax: number
}

const LIMITS_DEFAULT: Limits = {connectionsMax: 1024, readsMax: 4096}

/** The client sends up to 3 MiB in one message; one event of 1 MiB may come with as much around it. */
const MESSAGE_BYTES_MAX = 8 * 1024 * 1024

const bytesAsTheyAre = (bytes: Buffer): Buffer => bytes

/** Messages of the hot paths pass as bytes; wire.ts encodes and decodes them. */
const streamsService = {
  read: {...StreamsService.read, responseSerialize: bytesAsTheyAre},
  append: {...StreamsService.append, requestDeserialize: bytesAsTheyAre, responseSerialize: bytesAsTheyAre},
  delete: {...StreamsService.delete, responseSerialize: bytesAsTheyAre},
  tombstone: {...StreamsService.tombstone, responseSerialize: bytesAsTheyAre},
  batchAppend: {...StreamsService.batchAppend, requestDeserialize: bytesAsTheyAre, responseSerialize: bytesAsTheyAre},
}

/**
 * The official client resets the call whenever it reads a stream that does not exist. Node ends a connection that has
 * more than 33 resets a second, as a guard against floods; here everybody is a program on this machine. grpc-js has no
 * option for it, but passes these on.
 */
function allowManyResets(server: Server): void {
  const {commonServerOptions} = server as unknown as {commonServerOptions: Record<string, number>}
  Object.assign(commonServerOptions, {streamResetBurst: 1_000_000, streamResetRate: 1_000_000})
}

/** @throws DataFolderInUse, or what the system says when the folder or the port cannot be used */
export async function startServer(settings: ServerSettings): Promise<RunningServer> {
  const nowMs = (): number => Date.now()
  const {notice = () => undefined, limits = LIMITS_DEFAULT, security, broken} = settings
  const meter = createMeter(() => performance.now())
  const store = metered(openStore(settings.dataDir, nowMs, settings), meter)
  const tail = createTail(store)
  const openReads = new Set<(error: ServiceError) => void>()
  const openAppends = new Set<(error: ServiceError) => void>()
  const upkeep = openUpkeep(store, {removed: tail.clear, broken})
  const committed = (events: readonly StoredEvent[]): void => {
    tail.committed(events)
    upkeep.committed(events)
  }
  const commits = groupCommit(store, {nowMs, committed, broken})
  const load: ReadLoad = {subscriptions: 0, refused: 0}
  const server = new Server({
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': -1,
    ...(security === undefined ? {} : {interceptors: [requireAccount(security)]}),
  })
  allowManyResets(server)
  const context = {store, tail, nowMs, openReads, readsMax: limits.readsMax, load, broken, guard: guardedBy(broken)}
  const hub = openHub(context, commits)
  server.addService(streamsService, {
    ...writeCalls(commits, openAppends),
    read: (call: ServerWritableStream<ReadReq, Buffer>) => serveRead(context, call),
  })
  addPersistentSubscriptions(server, context, hub)
  let port = 0
  addOperations(server, upkeep)
  addServerFeatures(server, [StreamsService, PersistentSubscriptionsService, operations])
  addGossip(server, settings.advertisedHost ?? settings.host, () => port, nowMs)
  let control: Control
  try {
    port = await bind(server, settings)
    const connections = limitConnections(server, limits.connectionsMax)
    const {dataDir, controlPort = 0} = settings
    control = await openControl({
      dataDir,
      port: controlPort,
      stats: statsOf({store, meter, upkeep, connections, openReads, load, limits}),
      backUp: (file, progress) => store.backUp(file, progress),
      notice,
    })
  } catch (error) {
    server.forceShutdown()
    hub.close()
    upkeep.close()
    store.close()
    throw error
  }
  return {
    port,
    controlUrl: control.url,
    async stop() {
      await control.close()
      commits.flush()
      for (const end of openAppends) end(grpcError(status.UNAVAILABLE, 'Server is shutting down'))
      for (const end of openReads) end(grpcError(status.CANCELLED, 'Server is shutting down'))
      hub.close()
      upkeep.close()
      await shutDown(server)
      commits.flush()
      store.close()
    },
  }
}

function metered(store: Store, meter: Meter): Store {
  return {
    ...store,
    commit(writes) {
      const committed = store.commit(writes)
      meter.committed(writes.length, committed.events.length, store.lastCommitMs())
      return committed
    },
  }
}

interface StatsParts {
  readonly store: Store
  readonly meter: Meter
  readonly upkeep: Upkeep
  readonly connections: Connections
  readonly openReads: ReadonlySet<unknown>
  readonly load: ReadLoad
  readonly limits: Limits
}

/** What `/stats` answers. */
function statsOf({
  store,
  meter,
  upkeep,
  connections,
  openReads,
  load,
  limits,
}: StatsParts): () => Record<string, unknown> {
  const begunMs = performance.now()
  return () => ({
    version: SERVER_VERSION,
    uptimeSeconds: Math.floor((performance.now() - begunMs) / 1000),
    log: {lastPosition: store.lastPosition(), ...store.sizes()},
    appends: meter.read(),
    scavenge: upkeep.stats(),
    connections: {open: connections.open(), refused: connections.refused(), max: limits.connectionsMax},
    reads: {
      open: openReads.size,
      subscriptions: load.subscriptions,
      refused: load.refused,
      max: limits.readsMax,
      pending: pendingOfAll(),
    },
    memory: {rssBytes: process.memoryUsage.rss()},
  })
}

function bind(server: Server, {host, port, security}: ServerSettings): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, serverCredentials(security), (error, bound) => {
      if (error === null) resolve(bound)
      else reject(error)
    })
  })
}

const SHUTDOWN_MS_MAX = 1000

/** Lets the answers out; connections that stay open after that are closed. */
function shutDown(server: Server): Promise<void> {
  return new Promise(resolve => {
    const force = setTimeout(() => {
      server.forceShutdown()
      resolve()
    }, SHUTDOWN_MS_MAX)
    server.tryShutdown(() => {
      clearTimeout(force)
      resolve()
    })
  })
}
