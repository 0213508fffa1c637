import {rm} from 'node:fs/promises'
import {expect, test} from 'vitest'

import {connectEventStore} from '../../src/event-store/esdb.ts'
import {
  type Appended,
  type EventStore,
  type NewEvent,
  OutcomeUnknown,
  StoreUnavailable,
} from '../../src/event-store/port.ts'
import {freshStream, newEvent} from '../support/store-events.ts'
import {temporaryFolder} from '../support/store.ts'
import {spawnNode} from './child-process.ts'

interface Acknowledged {
  readonly stream: string
  readonly events: readonly NewEvent[]
  readonly answer: Appended
}

/** Appends to one stream until the node is gone; answers what it could not learn the outcome of. */
async function appendUntilGone(
  store: EventStore,
  acknowledge: (one: Acknowledged) => void,
): Promise<Omit<Acknowledged, 'answer'>> {
  const stream = freshStream()
  for (let number = 0; ; number++) {
    const events = number % 3 === 0 ? [newEvent(number), newEvent(number)] : [newEvent(number)]
    try {
      acknowledge({stream, events, answer: await store.append(stream, 'any', events)})
    } catch (error) {
      if (!(error instanceof OutcomeUnknown) && !(error instanceof StoreUnavailable)) throw error
      return {stream, events}
    }
  }
}

const kills = 20

test('SIGKILL under load loses no acknowledged append, tears none apart, and a repeat stores none twice', async () => {
  const dataDir = await temporaryFolder()
  let node = await spawnNode(dataDir)
  const store = connectEventStore(`esdb://127.0.0.1:${node.port}?tls=false`)
  const acknowledged: Acknowledged[] = []
  for (let kill = 0; kill < kills; kill++) {
    // Early, when the log is just open, and later, at another moment of the group commit each time.
    const enough = 10 + ((kill * 97) % 400)
    const before = acknowledged.length
    const acknowledge = (one: Acknowledged): void => {
      acknowledged.push(one)
      if (acknowledged.length - before === enough) void node.kill()
    }
    const unknown = await Promise.all(Array.from({length: 32}, () => appendUntilGone(store, acknowledge)))
    await node.kill()
    node = await spawnNode(dataDir, node.port)
    for (const {stream, events} of unknown) {
      acknowledged.push({stream, events, answer: await untilAnswered(() => store.append(stream, 'any', events))})
    }
  }
  await expectStored(store, acknowledged)
  await store.close()
  await node.kill()
  await rm(dataDir, {recursive: true})
})

async function untilAnswered<Answer>(attempt: () => Promise<Answer>): Promise<Answer> {
  for (let attempts = 0; attempts < 50; attempts++) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof OutcomeUnknown) && !(error instanceof StoreUnavailable)) throw error
    }
  }
  throw new Error('no answer after 50 attempts')
}

/** Each stream holds exactly the acknowledged events, in the order and at the places they were acknowledged with. */
async function expectStored(store: EventStore, acknowledged: readonly Acknowledged[]): Promise<void> {
  const byStream = Map.groupBy(acknowledged, one => one.stream)
  for (const [stream, appends] of byStream) {
    const stored = await store.readStream(stream, {maxCount: 100_000})
    expect(stored?.map(event => event.id)).toEqual(appends.flatMap(one => one.events.map(event => event.id)))
    for (const {answer} of appends) expect(stored?.[Number(answer.revision)]?.position).toEqual(answer.position)
  }
  const all = await store.readAll({maxCount: 1_000_000})
  expect(all.map(event => Number(event.position.commit))).toEqual(all.map((_, index) => index + 1))
}
