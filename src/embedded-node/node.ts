/**
 * The embedded node: an event store on loopback that speaks EventStoreDB's gRPC protocol and keeps its events in one
 * SQLite file. It runs in a thread of its own, so that its fsyncs and its encoding do not hold up the program.
 */
import {resolve as resolvePath} from 'node:path'
import {Worker} from 'node:worker_threads'

import {DataFolderInUse} from './folder-lock.ts'
import {isLoopback, type Security} from './security.ts'
import type {Limits} from './server.ts'
import type {Storage} from './log-file.ts'
import type {WorkerReport, WorkerSettings} from './worker.ts'

export {DataFolderInUse}
export type {Security}

export interface EmbeddedNodeOptions {
  /** Created when missing; one node at a time works in it. */
  readonly dataDir: string
  /** Absent: a free one. */
  readonly port?: number
  /** Loopback only, unless there is `security`. */
  readonly host: string
  /** The name that clients looking for a cluster are sent to; default `host`. */
  readonly advertisedHost?: string | undefined
  /** TLS and an account that every call must name. */
  readonly security?: Security | undefined
  /** Of the HTTP side door on loopback, `/health` and `/stats`; absent: a free one. */
  readonly controlPort?: number | undefined
  /** Default 1,024 connections and 4,096 reads and subscriptions at a time. */
  readonly limits?: Limits | undefined
  /** Default `durable`; anything else is for measurements. */
  readonly storage?: Storage | undefined
  /** How much is written before it is moved into the main file; default 16 MiB. */
  readonly checkpointEveryBytes?: number | undefined
  /** Told what an operator wants to know, a line each. */
  readonly onNotice?: (text: string) => void
}

export interface EmbeddedNode {
  /** For `connectEventStore`, e.g. `esdb://127.0.0.1:2113?tls=false`. */
  readonly connectionString: string
  readonly port: number
  /** Of the side door: `/health` and `/stats`, JSON over HTTP. Without a slash at its end. */
  readonly controlUrl: string
  /** Resolves with the cause if the disk fails or the thread dies; the node has stopped then. Else stays pending. */
  readonly failed: Promise<Error>
  /** Answers what is in flight, closes the files and releases the folder. Resolves within 5 s. */
  close(): Promise<void>
}

const CLOSE_MS_MAX = 5000

/** @throws DataFolderInUse when another process has the folder; Error when the folder or the port cannot be used */
export async function startEmbeddedNode(options: EmbeddedNodeOptions): Promise<EmbeddedNode> {
  const {dataDir, port, host, security, onNotice, ...rest} = options
  if (!isLoopback(host) && security === undefined) {
    throw new Error('the embedded node serves the loopback interface only, unless it has TLS and an account')
  }
  const settings: WorkerSettings = {...rest, security, dataDir: resolvePath(dataDir), host, port: port ?? 0}
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    name: 'embedded-node',
    workerData: settings,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  const exited = new Promise<Error>(resolve => {
    worker.once('error', error => resolve(error instanceof Error ? error : new Error(String(error))))
    worker.once('exit', code => resolve(new Error(`the embedded node's thread ended with code ${code}`)))
  })
  const broken = Promise.withResolvers<Error>()
  const ready = Promise.withResolvers<Extract<WorkerReport, {type: 'ready'}>>()
  worker.on('message', (report: WorkerReport) => {
    if (report.type === 'ready') return ready.resolve(report)
    if (report.type === 'notice') return onNotice?.(report.message)
    if (report.type === 'folderInUse') return ready.reject(new DataFolderInUse(report.message))
    if (report.type === 'startFailed') return ready.reject(new Error(report.message))
    // Without a neat end: what the failed disk holds must be found out by the next start, from the log.
    void worker.terminate()
    broken.resolve(new Error(`the embedded node stopped: ${report.message}`))
  })
  const bound = await Promise.race([ready.promise, exited])
  if (bound instanceof Error) throw bound
  let isClosing = false
  const failed = Promise.withResolvers<Error>()
  const fail = (error: Error): void => {
    if (!isClosing) failed.resolve(error)
  }
  void broken.promise.then(fail)
  void exited.then(fail)
  return {
    connectionString: `esdb://${host}:${bound.port}${security === undefined ? '?tls=false' : ''}`,
    port: bound.port,
    controlUrl: bound.controlUrl,
    failed: failed.promise,
    async close() {
      isClosing = true
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
      worker.postMessage('close')
      const {promise: late, resolve: giveUp} = Promise.withResolvers<undefined>()
      const timer = setTimeout(giveUp, CLOSE_MS_MAX, undefined)
      await Promise.race([exited, late])
      clearTimeout(timer)
      await worker.terminate()
    },
  }
}
