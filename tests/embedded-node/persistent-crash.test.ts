import {EventStoreDBClient, jsonEvent, persistentSubscriptionToStreamSettingsFromDefaults} from '@eventstore/db-client'
import {rm} from 'node:fs/promises'
import {expect, test} from 'vitest'

import {type Consumer, GROUP, join, until} from '../contract/persistent-rig.ts'
import {freshStream} from '../support/store-events.ts'
import {temporaryFolder} from '../support/store.ts'
import {spawnNode} from './child-process.ts'

const rounds = 5
const eventsPerRound = 200

/** What consumers did with the events of the group's stream, by revision. */
interface Seen {
  /** Sent by the node since it was last started. */
  readonly delivered: Set<number>
  /** Acknowledged or parked at any time; whether the node heard of it is unknown. */
  readonly answered: Set<number>
}

/** Takes until the node is gone or `isEnough`; parks every 17th event once and acknowledges all others. */
async function consume(consumer: Consumer, seen: Seen, isEnough: () => boolean): Promise<void> {
  while (!isEnough()) {
    const message = await consumer.next().catch(() => null)
    if (message === null) return
    const revision = Number(message.event?.revision)
    seen.delivered.add(revision)
    seen.answered.add(revision)
    const isParked = revision % 17 === 0 && message.link === undefined
    const answer = isParked ? consumer.nack('park', message) : consumer.ack(message)
    await answer.catch(() => undefined)
  }
}

test('SIGKILL while consumers read and answer: whatever no checkpoint covers is delivered again, and none is lost', async () => {
  const dataDir = await temporaryFolder()
  const stream = freshStream()
  const seen = {delivered: new Set<number>(), answered: new Set<number>()}
  let node = await spawnNode(dataDir)
  let client = EventStoreDBClient.connectionString(`esdb://127.0.0.1:${node.port}?tls=false`)
  const settings = persistentSubscriptionToStreamSettingsFromDefaults({
    startFrom: 'start',
    checkPointLowerBound: 1,
    checkPointUpperBound: 25,
  })
  await client.createPersistentSubscriptionToStream(stream, GROUP, settings)
  const info = () => client.getPersistentSubscriptionToStreamInfo(stream, GROUP)
  const checkpointOf = async (): Promise<number> => Number((await info()).stats.lastCheckpointedEventRevision ?? -1n)
  let total = 0
  let redelivered = 0
  for (let round = 0; round < rounds; round++) {
    const events = Array.from({length: eventsPerRound}, () => jsonEvent({type: 'Tested', data: {}}))
    await client.appendToStream(stream, events)
    total += eventsPerRound
    const consumers = await Promise.all([join(client, stream, 20), join(client, stream, 20), join(client, stream, 20)])
    // At another moment each time: early, and when nearly all is done.
    const enough = 20 + ((round * 73) % 170)
    const killAtEnough = (): boolean => {
      if (seen.delivered.size >= enough) void node.kill()
      return false
    }
    await Promise.all(consumers.map(consumer => consume(consumer, seen, killAtEnough)))
    await node.kill()
    await client.dispose()
    const before = new Set(seen.answered)
    seen.delivered.clear()

    node = await spawnNode(dataDir, node.port)
    client = EventStoreDBClient.connectionString(`esdb://127.0.0.1:${node.port}?tls=false`)
    const checkpoint = await checkpointOf()
    for (let revision = 0; revision <= checkpoint; revision++) expect(before.has(revision)).toBe(true)
    const rest = Array.from({length: total - checkpoint - 1}, (_, index) => checkpoint + 1 + index)
    const consumer = await join(client, stream, 20)
    await consume(consumer, seen, () => rest.every(revision => seen.delivered.has(revision)))
    expect(rest.filter(revision => !seen.delivered.has(revision))).toEqual([])
    redelivered += rest.filter(revision => before.has(revision)).length
    await until(checkpointOf, at => at === total - 1)
    await consumer.leave()
    seen.delivered.clear()
  }
  expect(redelivered).toBeGreaterThan(0)

  // What was refused is parked, at least once, and comes when it is asked for.
  const parked = Array.from({length: total}, (_, revision) => revision).filter(revision => revision % 17 === 0)
  const consumer = await join(client, stream, 20)
  await client.replayParkedMessagesToStream(stream, GROUP)
  await consume(consumer, seen, () => parked.every(revision => seen.delivered.has(revision)))
  expect([...seen.delivered].toSorted((a, b) => a - b)).toEqual(parked)
  await consumer.leave()
  await client.dispose()
  await node.kill()
  await rm(dataDir, {recursive: true})
})
