/** An event store for tests: the embedded node in a folder of its own, reached through the client as in production. */
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {type EmbeddedNode, startEmbeddedNode} from '../../src/embedded-node/node.ts'
import {connectEventStore, type ConnectOptions} from '../../src/event-store/esdb.ts'
import type {EventStore} from '../../src/event-store/port.ts'

export interface TestStore {
  readonly store: EventStore
  readonly node: EmbeddedNode
  readonly dataDir: string
  /** Stops the node and starts it again on the same folder and port. */
  restart(this: void): Promise<void>
  /** Closes all and removes the folder. */
  stop(this: void): Promise<void>
}

/** Starts a node with an empty log; ready in well under half a second. */
export async function startTestStore(options: ConnectOptions = {}): Promise<TestStore> {
  const dataDir = await temporaryFolder()
  let node = await startEmbeddedNode({dataDir, host: '127.0.0.1'})
  const store = connectEventStore(node.connectionString, options)
  return {
    store,
    get node() {
      return node
    },
    dataDir,
    async restart() {
      await node.close()
      node = await startEmbeddedNode({dataDir, host: '127.0.0.1', port: node.port})
    },
    async stop() {
      await store.close()
      await node.close()
      await rm(dataDir, {recursive: true, force: true})
    },
  }
}

export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'hourhand-store-'))
}
