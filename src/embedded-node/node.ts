/**
 * The embedded node: an event store on loopback that speaks EventStoreDB's gRPC protocol and keeps its events in one
 * SQLite file. It runs in a thread of its own, so that its fsyncs and its encoding do not hold up the program.
 */
import {resolve as resolvePath} from 'node:path'
import {Worker} from 'node:worker_threads'

import {DataFolderInUse} from './folder-lock.ts'
import type {WorkerReport, WorkerSettings} from './worker.ts'

export {DataFolderInUse}

export interface EmbeddedNodeOptions {
  /** Created when missing; one node at a time works in it. */
  readonly dataDir: string
  /** Absent: a free one. */
  readonly port?: number
  /** The node has neither accounts nor TLS and therefore never listens elsewhere. */
  readonly host: '127.0.0.1'
}

export interface EmbeddedNode {
  /** For `connectEventStore`, e.g. `esdb://127.0.0.1:2113?tls=false`. */
  readonly connectionString: string
  readonly port: number
  /** Resolves with the cause if the disk fails or the thread dies; the node has stopped then. Else stays pending. */
  readonly failed: Promise<Error>
  /** Answers what is in flight, closes the files and releases the folder. Resolves within 5 s. */
  close(): Promise<void>
}

const CLOSE_MS_MAX = 5000

/** @throws DataFolderInUse when another process has the folder; Error when the folder or the port cannot be used */
export async function startEmbeddedNode({dataDir, port, host}: EmbeddedNodeOptions): Promise<EmbeddedNode> {
  if (host !== '127.0.0.1') throw new Error('the embedded node serves the loopback interface only')
  const settings: WorkerSettings = {dataDir: resolvePath(dataDir), host, port: port ?? 0}
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
  const ready = Promise.withResolvers<number>()
  worker.on('message', (report: WorkerReport) => {
    if (report.type === 'ready') return ready.resolve(report.port)
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
    connectionString: `esdb://${host}:${bound}?tls=false`,
    port: bound,
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
