import {binaryEvent, type EventStoreDBClient, jsonEvent} from '@eventstore/db-client'
import {rm} from 'node:fs/promises'
import {join} from 'node:path'
import {afterEach, beforeEach, expect, test} from 'vitest'

import {type EmbeddedNode, startEmbeddedNode} from '../../src/embedded-node/node.ts'
import {connectClient, disconnect} from '../../src/event-store/esdb-client.ts'
import {copyStore} from '../../src/store-tools/copy.ts'
import {allEvents, isCopied, type StoredEvent} from '../../src/store-tools/copy-plan.ts'
import {temporaryFolder} from '../support/store.ts'
import {launchTool, runTool, toolPaths} from './run-tool.ts'

let folder: string
let nodes: EmbeddedNode[]
let clients: EventStoreDBClient[]
let source: EventStoreDBClient
let target: EventStoreDBClient
beforeEach(async () => {
  folder = await temporaryFolder()
  nodes = []
  clients = []
  for (const name of ['source', 'target', 'third']) {
    const node = await startEmbeddedNode({dataDir: join(folder, name, 'events'), host: '127.0.0.1'})
    nodes.push(node)
    clients.push(connectClient(node.connectionString))
  }
  ;[source, target] = clients as [EventStoreDBClient, EventStoreDBClient]
})
afterEach(async () => {
  await Promise.all(clients.map(disconnect))
  await Promise.all(nodes.map(node => node.close()))
  await rm(folder, {recursive: true, force: true})
})

const tested = (number: number, metadata: Record<string, unknown> = {}) =>
  jsonEvent({type: 'Tested', data: {number, text: 'ů🐎'}, metadata})

async function copied(client: EventStoreDBClient): Promise<readonly StoredEvent[]> {
  return (await Array.fromAsync(allEvents(client, 2n ** 60n))).filter(isCopied)
}

async function fill(client: EventStoreDBClient, count: number): Promise<void> {
  const appends = Array.from({length: count}, (_, number) =>
    client.appendToStream(`s-${(number * 7) % 13}`, tested(number, {actor: {type: 'user', number}})),
  )
  await Promise.all(appends)
}

const quiet = (): void => undefined

test('keeps order, ids, types, data and metadata, and puts the original time under $copy', async () => {
  await fill(source, 300)
  const bytes = Uint8Array.from({length: 256}, (_, byte) => byte)
  await source.appendToStream('binary', [
    binaryEvent({type: 'Bytes', data: bytes, metadata: bytes}),
    binaryEvent({type: '$>', data: Buffer.from('0@s-1')}),
    jsonEvent({type: 'Bare', data: 'only text'}),
  ])
  await source.appendToStream(
    'together',
    Array.from({length: 450}, (_, number) => tested(number)),
  )
  const report = await copyStore(source, target, quiet)
  expect(report).toEqual({events: 753, streams: 15, copied: 753})

  const [before, after] = [await copied(source), await copied(target)]
  const identity = ({id, streamId, revision, type, isJson, data}: StoredEvent): unknown => ({
    id,
    streamId,
    revision,
    type,
    isJson,
    data,
  })
  expect(after.map(identity)).toEqual(before.map(identity))
  for (const [index, event] of before.entries()) {
    const {streamId, metadata, created, position} = event
    const copy = after[index]?.metadata
    if (streamId === 'binary' && event.type === 'Bytes') expect(copy).toEqual(metadata)
    else {
      const time = {created: created.toISOString(), position: String(position.commit)}
      expect(copy).toEqual({...(metadata as object | undefined), $copy: time})
    }
  }
})

test('a copy of a copy keeps the first time, and a second run copies only what is new', async () => {
  await fill(source, 50)
  await copyStore(source, target, quiet)
  await source.appendToStream('s-1', tested(99))
  expect(await copyStore(source, target, quiet)).toMatchObject({events: 51, copied: 1})
  expect(await copyStore(source, target, quiet)).toMatchObject({events: 51, copied: 0})
  const third = clients[2] as EventStoreDBClient
  await copyStore(target, third, quiet)
  const times = async (client: EventStoreDBClient): Promise<readonly unknown[]> =>
    (await copied(client)).map(({metadata}) => (metadata as {$copy: {created: string}}).$copy.created)
  expect(await times(third)).toEqual((await copied(source)).map(({created}) => created.toISOString()))
})

const visible = (client: EventStoreDBClient, stream: string): Promise<readonly unknown[]> =>
  Array.fromAsync(client.readStream(stream), ({event}) => event?.revision)

test('limits of streams go along; deleted streams do not, and tombstoned names stay closed', async () => {
  for (const stream of ['limited', 'deleted', 'tombstoned', 'revived']) await source.appendToStream(stream, tested(1))
  await source.setStreamMetadata('limited', {maxCount: 1})
  await source.deleteStream('deleted')
  await source.tombstoneStream('tombstoned')
  await source.deleteStream('revived')
  await source.appendToStream('revived', tested(2))
  await source.appendToStream('limited', tested(2))
  expect(await copyStore(source, target, quiet)).toMatchObject({events: 2, streams: 2})
  expect(await copyStore(source, target, quiet)).toMatchObject({events: 2, copied: 0})
  for (const stream of ['limited', 'revived']) expect(await visible(target, stream)).toEqual([1n])
  expect((await target.getStreamMetadata('limited')).metadata).toMatchObject({maxCount: 1})
  await expect(visible(target, 'deleted')).rejects.toMatchObject({type: 'stream-not-found'})
  await expect(visible(target, 'tombstoned')).rejects.toMatchObject({type: 'stream-deleted'})
  const streams = (await copied(target)).map(({streamId}) => streamId)
  expect(new Set(streams)).toEqual(new Set(['limited', 'revived']))
})

test('what is gone from the beginning of streams keeps its numbers, also when more is gone at the next run', async () => {
  const appendMany = async (count: number): Promise<void> => {
    for (const stream of ['counted', 'truncated', 'whole']) {
      await source.appendToStream(
        stream,
        Array.from({length: count}, (_, number) => tested(number)),
      )
    }
  }
  await appendMany(300)
  await source.setStreamMetadata('counted', {maxCount: 3})
  await source.setStreamMetadata('truncated', {truncateBefore: 250})
  await appendMany(1)
  expect(await copyStore(source, target, quiet)).toMatchObject({events: 3 + 51 + 301, streams: 3})
  await appendMany(5)
  await source.setStreamMetadata('truncated', {truncateBefore: 304})
  expect(await copyStore(source, target, quiet)).toMatchObject({events: 3 + 2 + 306, streams: 3, copied: 3 + 2 + 5})
  for (const stream of ['counted', 'truncated', 'whole']) {
    expect(await visible(target, stream)).toEqual(await visible(source, stream))
  }
  // What is written from now on goes on behind it.
  for (const client of [source, target]) await client.appendToStream('truncated', tested(1))
  expect(await visible(target, 'truncated')).toEqual([304n, 305n, 306n])
})

test('a target that holds anything else is refused, and nothing is written to it', async () => {
  await fill(source, 20)
  await target.appendToStream('foreign', tested(1))
  await expect(copyStore(source, target, quiet)).rejects.toThrow('no copy of this source')
  expect(await copied(target)).toHaveLength(1)
})

test('a copy that somebody else wrote to, or that was changed, does not pass the verification', async () => {
  await fill(source, 20)
  await copyStore(source, target, quiet)
  await target.appendToStream('s-1', tested(1))
  await expect(copyStore(source, target, quiet)).rejects.toThrow('holds more than the source')
  await source.appendToStream('s-1', tested(2))
  await expect(copyStore(source, target, quiet)).rejects.toThrow('no copy of this source')
})

test('killed again and again it goes on where it stopped, and the end is the same', async () => {
  for (let round = 0; round < 5; round++) await fill(source, 1000)
  const args = ['--from', nodes[0]?.connectionString ?? '', '--to', nodes[1]?.connectionString ?? '']
  let kills = 0
  for (const enough of [300, 1500, 3000]) {
    const tool = launchTool(toolPaths.copy, args)
    const isOver = {value: false}
    void tool.ended.then(() => (isOver.value = true))
    while (!isOver.value && (await lastCopied()) < enough) await new Promise(resolve => setImmediate(resolve))
    tool.kill()
    const {signal} = await tool.ended
    if (signal === 'SIGKILL') kills++
  }
  expect(kills).toBe(3)
  const before = await copied(target)
  expect(before.length).toBeGreaterThan(300)
  expect(before.length).toBeLessThan(5000)
  const {status, output} = await runTool(toolPaths.copy, args)
  expect(output).toContain('events are there already')
  expect(output).toContain('Verified: 5000 events in 13 streams')
  expect(status).toBe(0)
  const ids = async (client: EventStoreDBClient): Promise<readonly string[]> => (await copied(client)).map(({id}) => id)
  expect(await ids(target)).toEqual(await ids(source))
})

async function lastCopied(): Promise<number> {
  const [last] = await Array.fromAsync(target.readAll({direction: 'backwards', fromPosition: 'end', maxCount: 1}))
  return Number(last?.event?.position.commit ?? 0)
}

test('a data folder can be the source, when no program works in it', async () => {
  await fill(source, 100)
  const args = ['--from', join(folder, 'source'), '--to', nodes[1]?.connectionString ?? '']
  const busy = await runTool(toolPaths.copy, args)
  expect(busy).toMatchObject({status: 1, output: expect.stringContaining('cannot be opened')})
  await nodes[0]?.close()
  const {status, output} = await runTool(toolPaths.copy, args)
  expect(output).toContain('Verified: 100 events')
  expect(status).toBe(0)
})
