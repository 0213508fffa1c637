/**
 * Histories on real time: two nodes, each with a genuine client of its own, on one embedded node that syncs its disk.
 * One stage serves many histories, each with accounts and machines of its own.
 */
import {connectEventStore} from '../../src/event-store/esdb.ts'
import type {DomainEvent} from '../../projections/projection.ts'
import type {StoredEvent} from '../../src/kernel/messages.ts'
import {systemClock, systemRandom, systemTimers} from '../../src/system.ts'
import {diceOf} from '../simulation/dice.ts'
import {isForeseen} from '../simulation/node.ts'
import {startTestStore} from '../support/store.ts'
import {turn} from '../support/hand-clock.ts'
import {runCrowd} from './clients.ts'
import {engineDoor} from './door.ts'
import {createRecorder, isFollowedUp, type History, type Recorder} from './history.ts'
import {bookingTerms, furnish, notableOf, poolsNamed, startNode} from './node.ts'
import type {Size} from './simulated.ts'

export interface GenuineStage {
  history(seed: number, size: Size): Promise<History>
  stop(): Promise<void>
}

const hourMs = 3_600_000
const waitMsMax = 30_000

export async function genuineStage(): Promise<GenuineStage> {
  const testStore = await startTestStore()
  const stopping = new AbortController()
  const alarms: string[] = []
  const nodes = await Promise.all(['first', 'second'].map(startOne))
  let count = 0

  async function startOne(name: string) {
    const store = connectEventStore(testStore.node.connectionString)
    const parts = {store, clock: systemClock, timers: systemTimers, random: systemRandom}
    const engine = startNode({
      name,
      ...parts,
      complain(what, error) {
        if (!isForeseen(error)) alarms.push(`${what}: ${error.message}`)
      },
    })
    await engine.projections.caughtUp
    return {name, store, engine, acting: engine.act(stopping.signal)}
  }

  /** Notes what either node folds, and answers how to wait until there is nothing more to come. */
  function observe(recorder: Recorder): {readonly rest: () => Promise<void>; readonly end: () => void} {
    let news = Promise.withResolvers<void>()
    const see = (batch: readonly StoredEvent<DomainEvent>[]): void => {
      for (const {event} of batch) {
        const notable = notableOf(event.type, event.data)
        if (notable !== null) recorder.see(notable)
      }
      news.resolve()
      news = Promise.withResolvers()
    }
    const ends = nodes.map(({engine}) => engine.projections.onBatch(see))
    return {
      end: () => ends.forEach(end => end()),
      async rest() {
        const over = new AbortController()
        const limit = systemTimers.sleep(waitMsMax, over.signal).then(() => 'late' as const)
        while (!isFollowedUp(recorder) && (await Promise.race([news.promise, limit])) !== 'late');
        over.abort()
      },
    }
  }

  return {
    async history(seed, {clients, callsEach}) {
      const number = count++
      const pools = poolsNamed(`h${number}-`)
      const first = nodes[0]
      if (first === undefined) throw new Error('no node')
      await furnish(first.engine, pools)
      const [last] = await first.store.readAll({direction: 'backwards', from: 'end', maxCount: 1})
      for (const {engine} of nodes) await engine.projections.waitFor(last?.position.commit ?? 0n, waitMsMax)
      const recorder = createRecorder()
      const observer = observe(recorder)
      const all = nodes.map(({name: node, engine}) =>
        engineDoor({node, engine, clock: systemClock, isForeseen, isOpen: () => true}),
      )
      // Two nodes stand in each other's way on every stream, which most installations never do.
      const doors = seed % 3 === 0 ? all : all.slice(0, 1)
      await runCrowd({
        scene: {
          accounts: ['ann', 'bob', 'cy', 'dee'].map(name => `${name}-${number}`),
          pools: Object.keys(pools),
          fromMs: Math.ceil(Date.now() / hourMs + 24) * hourMs,
          loads: true,
        },
        doors: () => doors,
        recorder,
        keyPrefix: `key-${number}-`,
        dice: diceOf(seed),
        clients,
        callsEach,
        pause: turns,
      })
      await observer.rest()
      observer.end()
      if (alarms.length > 0) throw new Error(alarms.join('; '))
      const seen = {times: recorder.times, isAtOnce: false}
      return {name: `genuine client, seed ${seed}`, pools, ...bookingTerms, entries: recorder.entries(), seen}
    },
    async stop() {
      stopping.abort()
      for (const {engine, store, acting} of nodes) {
        await acting
        await engine.projections.stop()
        await store.close()
      }
      await testStore.stop()
    },
  }
}

/** Lets others go first, the longer the more often; nothing here depends on how long that takes. */
async function turns(ms: number): Promise<void> {
  for (let left = ms / 10; left > 0; left--) await turn()
}
