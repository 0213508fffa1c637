import {EventStoreDBClient, jsonEvent, persistentSubscriptionToAllSettingsFromDefaults} from '@eventstore/db-client'
import {OperationsClient} from '@eventstore/db-client/generated/operations_grpc_pb.js'
import operationsPb from '@eventstore/db-client/generated/operations_pb.js'
import {credentials, status} from '@grpc/grpc-js'
import {readdirSync, readFileSync} from 'node:fs'
import {rm} from 'node:fs/promises'
import {join} from 'node:path'
import {afterAll, beforeAll, expect, test} from 'vitest'

import {openStore} from '../../src/embedded-node/store.ts'
import type {UpkeepStats} from '../../src/embedded-node/upkeep.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import {freshName, joinAll, tested, until} from '../contract/persistent-rig.ts'
import {eventsOf, followUntil, freshStream, newEvent} from '../support/store-events.ts'
import {startTestStore, temporaryFolder, type TestStore} from '../support/store.ts'
import {spawnNode} from './child-process.ts'

let rig: TestStore
let client: EventStoreDBClient
beforeAll(async () => {
  rig = await startTestStore()
  client = EventStoreDBClient.connectionString(rig.node.connectionString)
})
afterAll(async () => {
  await client.dispose()
  await rig.stop()
})

async function stats(): Promise<UpkeepStats> {
  const response = await fetch(`${rig.node.controlUrl}/stats`)
  return ((await response.json()) as {readonly scavenge: UpkeepStats}).scavenge
}
const scavenged = (): Promise<UpkeepStats> => until(stats, ({isRunning}) => !isRunning)

const filesIn = (folder: string): Buffer =>
  Buffer.concat(
    readdirSync(folder)
      .filter(name => !name.endsWith('.lock'))
      .map(name => readFileSync(join(folder, name))),
  )

test('a stream that is deleted is gone from all files soon after, and all else reads the same', async () => {
  const [victim, other] = [freshStream(), freshStream()]
  const secret = `secret-${freshName()}`
  const long = `${secret} `.repeat(2000)
  await client.appendToStream(other, tested(20))
  await client.appendToStream(victim, [
    jsonEvent({type: 'Key', data: {secret}, metadata: {secret}}),
    jsonEvent({type: secret, data: {long}}),
  ])
  await client.appendToStream(other, tested(20))
  const isOther = (stream: string): boolean => stream !== victim
  const before = eventsOf(await followUntil(rig.store, {}, ({type}) => type === 'caughtUp'), isOther)
  expect(filesIn(rig.dataDir).includes(secret)).toBe(true)

  await client.deleteStream(victim)
  await until(stats, ({isRunning, removedEvents}) => !isRunning && removedEvents >= 2)
  expect(filesIn(rig.dataDir).includes(secret)).toBe(false)
  const messages = await followUntil(rig.store, {}, ({type}) => type === 'caughtUp')
  expect(eventsOf(messages, isOther)).toEqual(before)
  expect(eventsOf(messages, stream => stream === victim)).toEqual([])
  await expect(Array.fromAsync(client.readStream(victim))).rejects.toMatchObject({type: 'stream-not-found'})
  expect(await client.appendToStream(victim, tested(1))).toMatchObject({nextExpectedRevision: 2n})
})

test('a group on $all that begins before the hole goes on behind it', async () => {
  const [victim, last] = [freshStream(), freshStream()]
  const group = freshName()
  const {position} = await client.appendToStream(freshStream(), tested(1))
  if (position === undefined) throw new Error('an append without a position')
  await client.appendToStream(victim, tested(600))
  await client.tombstoneStream(victim)
  await client.appendToStream(last, tested(1))
  await scavenged()
  const settings = persistentSubscriptionToAllSettingsFromDefaults({startFrom: position})
  await client.createPersistentSubscriptionToAll(group, settings)
  const consumer = await joinAll(client, group)
  const streams = (await consumer.take(3)).map(({event}) => event?.streamId)
  expect(streams.slice(1)).toEqual([victim, last])
  await consumer.leave()
})

test("a scavenge is begun and stopped with EventStoreDB's own calls", async () => {
  const operations = new OperationsClient(`127.0.0.1:${rig.node.port}`, credentials.createInsecure())
  await scavenged()
  const {completed} = await stats()
  const start = (): Promise<InstanceType<typeof operationsPb.ScavengeResp>> => {
    const {promise, resolve, reject} = Promise.withResolvers<InstanceType<typeof operationsPb.ScavengeResp>>()
    const request = new operationsPb.StartScavengeReq().setOptions(new operationsPb.StartScavengeReq.Options())
    operations.startScavenge(request, (error, response) => (error === null ? resolve(response) : reject(error)))
    return promise
  }
  const [first, second] = await Promise.all([start(), start()])
  expect([first?.getScavengeResult(), second?.getScavengeResult()]).toEqual([0, 1])
  expect(second?.getScavengeId()).toBe(first?.getScavengeId())
  expect(first?.getScavengeId()).toMatch(/^[0-9a-f-]{36}$/)
  await until(stats, now => !now.isRunning && now.completed === completed + 1)

  const {promise: refused, resolve} = Promise.withResolvers<unknown>()
  const unknown = new operationsPb.StopScavengeReq().setOptions(new operationsPb.StopScavengeReq.Options())
  operations.stopScavenge(unknown, error => resolve(error))
  expect(await refused).toMatchObject({code: status.NOT_FOUND})
  operations.close()
})

test('killed in the middle of it again and again, the log stays sound and the rest is removed after a start', async () => {
  const dataDir = await temporaryFolder()
  const secret = `secret-${freshName()}`
  const kills = 6
  let node = await spawnNode(dataDir)
  const store = connectEventStore(`esdb://127.0.0.1:${node.port}?tls=false`)
  const kept = freshStream()
  let keptEvents = 0
  let unfinished = 0
  for (let kill = 0; kill < kills; kill++) {
    const victims = Array.from({length: 8}, () => freshStream())
    for (const victim of victims) {
      const event = {...newEvent(kill), data: {secret, filler: 'x'.repeat(1000)}}
      await store.append(
        victim,
        'any',
        Array.from({length: 150}, () => ({...event, id: crypto.randomUUID()})),
      )
      await store.append(kept, 'any', [newEvent(keptEvents++)])
    }
    for (const victim of victims) await store.deleteStream(victim, 'any')
    // Appends go on meanwhile; each round dies a little later.
    for (let more = 0; more < kill * 6; more++) await store.append(kept, 'any', [newEvent(keptEvents++)])
    await node.kill()
    if (filesIn(dataDir).includes(secret)) unfinished++
    node = await spawnNode(dataDir, node.port)
  }
  expect(unfinished).toBeGreaterThan(0)
  await until(
    () => Promise.resolve(filesIn(dataDir)),
    bytes => !bytes.includes(secret),
  )
  expect((await store.readStream(kept, {maxCount: 10_000}))?.map(({data}) => data)).toEqual(
    Array.from({length: keptEvents}, (_, number) => ({number})),
  )
  await store.close()
  await node.kill()
  // Opening checks the structure of the file, and that no position is missing.
  openStore(dataDir, () => 0).close()
  await rm(dataDir, {recursive: true})
})
