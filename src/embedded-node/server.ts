/** The node itself: the store, the gRPC services over it, and its end. Runs in a thread of its own (worker.ts). */
import {StreamsService} from '@eventstore/db-client/generated/streams_grpc_pb.js'
import type {ReadReq} from '@eventstore/db-client/generated/streams_pb.js'
import {Server, ServerCredentials, type ServerWritableStream, type ServiceError, status} from '@grpc/grpc-js'

import {writeCalls} from './append-service.ts'
import {addGossip, addServerFeatures} from './features.ts'
import {groupCommit} from './group-commit.ts'
import {grpcError} from './grpc-errors.ts'
import {serveRead} from './read-service.ts'
import {openStore} from './store.ts'
import {createTail} from './tail.ts'

export interface RunningServer {
  readonly port: number
  /** Answers what is in flight as a stopping EventStoreDB does, and releases the folder. */
  stop(): Promise<void>
}

export interface ServerSettings {
  readonly dataDir: string
  /** Loopback only: there are no accounts and no TLS. */
  readonly host: string
  /** 0 takes a free port. */
  readonly port: number
  /** Called once when the disk failed; nothing more is acknowledged from then on. */
  readonly broken: (error: Error) => void
}

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
  const store = openStore(settings.dataDir, nowMs)
  const tail = createTail(store)
  const openReads = new Set<(error: ServiceError) => void>()
  const openAppends = new Set<(error: ServiceError) => void>()
  const commits = groupCommit(store, {nowMs, committed: tail.committed, broken: settings.broken})
  const server = new Server({
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': -1,
  })
  allowManyResets(server)
  server.addService(streamsService, {
    ...writeCalls(commits, openAppends),
    read: (call: ServerWritableStream<ReadReq, Buffer>) =>
      serveRead({store, tail, nowMs, openReads, broken: settings.broken}, call),
  })
  let port = 0
  addServerFeatures(server, [StreamsService])
  addGossip(server, settings.host, () => port, nowMs)
  try {
    port = await bind(server, settings)
  } catch (error) {
    store.close()
    throw error
  }
  return {
    port,
    async stop() {
      commits.flush()
      for (const end of openAppends) end(grpcError(status.UNAVAILABLE, 'Server is shutting down'))
      for (const end of openReads) end(grpcError(status.CANCELLED, 'Server is shutting down'))
      await shutDown(server)
      commits.flush()
      store.close()
    },
  }
}

function bind(server: Server, {host, port}: ServerSettings): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
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
