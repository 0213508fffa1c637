import {rm, stat} from 'node:fs/promises'
import {join} from 'node:path'
import {afterEach, beforeEach, expect, test} from 'vitest'

import {DataFolderInUse, startEmbeddedNode} from '../../src/embedded-node/node.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import {startTestStore, temporaryFolder} from '../support/store.ts'
import {freshStream, newEvents} from '../support/store-events.ts'
import {spawnNode} from './child-process.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = await temporaryFolder()
})
afterEach(async () => {
  await rm(dataDir, {recursive: true, force: true})
})

test('a second process on the folder is refused, until the first is killed', async () => {
  const first = await spawnNode(dataDir)
  expect(first.firstLine).toMatch(/^ready \d+$/)
  expect((await spawnNode(dataDir)).firstLine).toBe('in use')
  await first.kill()
  const next = await spawnNode(dataDir)
  expect(next.firstLine).toMatch(/^ready \d+$/)
  await next.kill()
})

test('of processes that start at once on a fresh folder exactly one gets it', async () => {
  const started = await Promise.all([spawnNode(dataDir), spawnNode(dataDir), spawnNode(dataDir)])
  const lines = started.map(node => node.firstLine.replace(/\d+/, 'port'))
  expect(lines.toSorted()).toEqual(['in use', 'in use', 'ready port'])
  for (const node of started) await node.kill()
})

test('a second node of the same process is refused, until the first is closed', async () => {
  const first = await startEmbeddedNode({dataDir, host: '127.0.0.1'})
  await expect(startEmbeddedNode({dataDir, host: '127.0.0.1'})).rejects.toBeInstanceOf(DataFolderInUse)
  await first.close()
  const second = await startEmbeddedNode({dataDir, host: '127.0.0.1'})
  await second.close()
})

test('a port in use and a folder that cannot be made are named errors, and leave no lock behind', async () => {
  const first = await startEmbeddedNode({dataDir: join(dataDir, 'first'), host: '127.0.0.1'})
  const second = startEmbeddedNode({dataDir: join(dataDir, 'second'), host: '127.0.0.1', port: first.port})
  await expect(second).rejects.toThrow(String(first.port))
  const retried = await startEmbeddedNode({dataDir: join(dataDir, 'second'), host: '127.0.0.1'})
  const inFile = join(dataDir, 'first', 'events.sqlite', 'folder')
  await expect(startEmbeddedNode({dataDir: inFile, host: '127.0.0.1'})).rejects.toThrow('events.sqlite')
  await retried.close()
  await first.close()
})

test('a restart continues positions and revisions and still knows repeats', async () => {
  const {store, restart, stop} = await startTestStore()
  const stream = freshStream()
  const events = newEvents(3)
  const before = await store.append(stream, 'any', events)
  await restart()
  await untilReady(() => store.isReady())
  expect(await store.append(stream, 'any', events)).toEqual(before)
  expect(await store.append(stream, 'noStream', events)).toEqual(before)
  const after = await store.append(stream, before.revision, newEvents(1))
  expect(after).toEqual({
    revision: 3n,
    position: {commit: before.position.commit + 1n, prepare: before.position.prepare + 1n},
  })
  await stop()
})

test('closing answers what is in flight and leaves one file with all that was acknowledged', async () => {
  const node = await startEmbeddedNode({dataDir, host: '127.0.0.1'})
  const store = connectEventStore(node.connectionString)
  const streams = Array.from({length: 100}, () => freshStream())
  await store.append(freshStream(), 'any', newEvents(1))
  const appends = Promise.allSettled(streams.map(stream => store.append(stream, 'noStream', newEvents(1))))
  await node.close()
  const settled = await appends
  const acknowledged = streams.filter((_, index) => settled[index]?.status === 'fulfilled')
  await expect(stat(join(dataDir, 'events.sqlite-wal'))).rejects.toThrow('ENOENT')
  const again = await startEmbeddedNode({dataDir, host: '127.0.0.1', port: node.port})
  await untilReady(() => store.isReady())
  for (const stream of acknowledged) expect(await store.readStream(stream, {maxCount: 10})).toHaveLength(1)
  await store.close()
  await again.close()
})

async function untilReady(isReady: () => Promise<boolean>): Promise<void> {
  for (let looks = 0; looks < 100; looks++) if (await isReady()) return
  throw new Error('the store did not become ready')
}
