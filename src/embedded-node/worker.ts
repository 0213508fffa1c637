/** The entry of the node's thread: starts the server, reports to the main thread, stops when told to. */
import {logVerbosity, setLogVerbosity} from '@grpc/grpc-js'
import {parentPort, workerData} from 'node:worker_threads'

import {DataFolderInUse} from './folder-lock.ts'
import {type ServerSettings, startServer} from './server.ts'

/** What the main thread is told. */
export type WorkerReport =
  | {readonly type: 'ready'; readonly port: number; readonly controlUrl: string}
  | {readonly type: 'folderInUse'; readonly message: string}
  | {readonly type: 'startFailed'; readonly message: string}
  | {readonly type: 'notice'; readonly message: string}
  | {readonly type: 'broken'; readonly message: string}

export type WorkerSettings = Omit<ServerSettings, 'broken' | 'notice'>

const report = (message: WorkerReport): void => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage(message)
}

// Errors are reported, not printed.
setLogVerbosity(logVerbosity.NONE)
try {
  const server = await startServer({
    ...(workerData as WorkerSettings),
    notice: message => report({type: 'notice', message}),
    // The main thread ends this one: after a failed fsync nothing that is in memory may be trusted or closed neatly.
    broken: error => report({type: 'broken', message: error.message}),
  })
  parentPort?.on('message', () => {
    void server.stop().finally(() => parentPort?.close())
  })
  report({type: 'ready', port: server.port, controlUrl: server.controlUrl})
} catch (error) {
  const message = error instanceof Error ? error.message : String(error)
  report({type: error instanceof DataFolderInUse ? 'folderInUse' : 'startFailed', message})
}
