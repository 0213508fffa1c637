import {randomBytes, randomUUID} from 'node:crypto'
import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {Storage} from '../../src/embedded-node/log-file.ts'
import {startEmbeddedNode} from '../../src/embedded-node/node.ts'
import type {AppendWrite} from '../../src/embedded-node/records.ts'
import {openStore} from '../../src/embedded-node/store.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import type {EventStore, NewEvent} from '../../src/event-store/port.ts'

/** Streams that appends are spread over. */
const streams = 1000
/** With its metadata about 400 bytes of JSON, as a booking's events have. */
const filler = 'x'.repeat(220)

export const streamOf = (index: number): string => `bench-${index % streams}`

export function benchEvent(index: number): NewEvent {
  return {
    id: randomUUID(),
    type: 'Benched',
    data: {index, text: filler},
    metadata: {
      $correlationId: 'bench',
      $causationId: 'bench',
      actor: {type: 'user', userId: 'bench'},
      at: '2030-01-01',
    },
  }
}

export interface BenchNode {
  readonly store: EventStore
  stop(): Promise<void>
}

/** A node in a thread of its own with an empty log, and a client in this one, as Hourhand has them. */
export async function startBenchNode(storage: Storage): Promise<BenchNode> {
  const dataDir = benchFolder()
  const node = await startEmbeddedNode({dataDir, host: '127.0.0.1', storage})
  const store = connectEventStore(node.connectionString)
  return {
    store,
    async stop() {
      await store.close()
      await node.close()
      rmSync(dataDir, {recursive: true, force: true})
    },
  }
}

export const benchFolder = (): string => mkdtempSync(join(tmpdir(), 'hourhand-bench-store-'))

/** Appends per second of the log alone, without network and encoding: groups of `size` single appends, each synced. */
export function rawGroupCommits(size: number, measureMs: number): number {
  const dataDir = benchFolder()
  const store = openStore(dataDir, () => Date.now())
  let done = 0
  const begin = performance.now()
  while (performance.now() - begin < measureMs) {
    store.commit(Array.from({length: size}, (_, index) => benchWrite(done + index)))
    store.checkpointIfDue()
    done += size
  }
  const perSecond = (1000 * done) / (performance.now() - begin)
  store.close()
  rmSync(dataDir, {recursive: true, force: true})
  return perSecond
}

function benchWrite(index: number): AppendWrite {
  const {type, data, metadata} = benchEvent(index)
  const event = {
    id: randomBytes(16),
    type,
    isJson: true,
    data: Buffer.from(JSON.stringify(data)),
    metadata: Buffer.from(JSON.stringify(metadata)),
  }
  return {kind: 'append', stream: streamOf(index), expected: 'any', events: [event]}
}

/** Fills a log without waiting for the disk. */
export function fillLog(dataDir: string, events: number): void {
  const store = openStore(dataDir, () => Date.now(), {storage: 'unsynced'})
  for (let done = 0; done < events; done += 1000) {
    store.commit(Array.from({length: 1000}, (_, index) => benchWrite(done + index)))
    store.checkpointIfDue()
  }
  store.close()
}
