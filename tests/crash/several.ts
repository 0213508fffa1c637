import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {setTimeout as after} from 'node:timers/promises'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import type {EventStore, RecordedEvent} from '../../src/event-store/port.ts'
import type {UserId} from '../../src/kernel/ids.ts'
import {leaseStream} from '../../src/processes/lease-events.ts'
import {startTcpProxy, type TcpProxy} from '../support/tcp-proxy.ts'
import {diceOf, type Dice} from '../simulation/dice.ts'
import {createClient, type Client} from './client.ts'
import {afterAllMs, conclude, startOrFail, type Figures} from './closing.ts'
import {letLoose, registerCustomers} from './customers.ts'
import {crashNode, testClock, type CrashNode, type StartOptions} from './nodes.ts'
import {startPark, type Park} from './park.ts'
import {storeProcess, type StoreProcess} from './store-process.ts'

export interface SeveralOptions {
  readonly nodes: number
  readonly seed: number
  readonly customers?: number
  /** For the first node, which takes the lease. */
  readonly firstStart?: StartOptions
  /** What befalls them while their customers are at it. */
  readonly disturb: (scene: Scene) => Promise<void>
  readonly onProgress?: (line: string) => void
}

/** Several nodes on one store, under load. */
export interface Scene {
  readonly nodes: readonly CrashNode[]
  readonly server: StoreProcess
  /** Between each node and the store. */
  readonly proxies: readonly TcpProxy[]
  /** To look at the log; not by way of a proxy. */
  readonly store: EventStore
  readonly client: Client
  readonly park: Park
  readonly dice: Dice
  /** Starts a node, and keeps count of how long it took. */
  start(node: CrashNode): Promise<void>
  /** Takes how long it took until another node had the lease. */
  tookOver(ms: number): void
  say(line: string): void
  report(violation: string): void
}

export interface SeveralReport extends Figures {
  readonly violations: readonly string[]
  readonly takeOversMs: readonly number[]
}

const minuteMs = 60_000
const customersDefault = 10
const violationsMax = 20
/** Longer than a node takes to begin with what it was asked: what has no answer by then does not happen any more. */
const answerMsMax = 8_000
/** Sessions begin this long after the start, so that a short run sees some begin. */
const firstSessionMs = 20_000

/** Runs nodes of one store under load while they are disturbed, then holds all that was seen against the log. */
export async function runSeveral(options: SeveralOptions): Promise<SeveralReport> {
  const {seed, disturb, customers: count = customersDefault} = options
  const clock = testClock()
  clock.jump(minuteMs - firstSessionMs - (clock.nowMs() % minuteMs) + minuteMs)
  const violations: string[] = []
  const report = (violation: string): void => {
    if (violations.length < violationsMax) violations.push(violation)
  }
  const dice = diceOf(seed)
  const park = await startPark({nowMs: () => clock.nowMs(), bootMs: 100})
  const server = await storeProcess(clock)
  const nodes: CrashNode[] = []
  const proxies: TcpProxy[] = []
  let store: EventStore | null = null
  try {
    await server.start()
    for (let index = 0; index < options.nodes; index++) {
      const proxy = await startTcpProxy(() => server.port())
      proxies.push(proxy)
      const environment = {EVENTSTORE_URL: `esdb://127.0.0.1:${proxy.port}?tls=false`}
      nodes.push(await crashNode({name: `node ${index + 1}`, clock, parkUrl: park.url, environment}))
    }
    const url = `esdb://127.0.0.1:${server.port()}?tls=false`
    store = connectEventStore(url)
    const readyMs: number[] = []
    const takeOversMs: number[] = []
    const start = async (node: CrashNode, how?: StartOptions): Promise<void> => {
      readyMs.push((await startOrFail(node, how)).readyMs)
    }
    for (const node of nodes) await start(node, node === nodes[0] ? options.firstStart : undefined)
    const client = createClient({nodes, clock, chance: () => dice.next(), report, answerMsMax})
    const parts = {client, clock, dice: diceOf(seed ^ 0x1111), count, report}
    const userIds = await registerCustomers(parts, AbortSignal.timeout(minuteMs))
    await untilKnown(nodes, client, userIds)
    const customers = letLoose(parts, userIds)
    const tookOver = (ms: number): void => void takeOversMs.push(Math.round(ms))
    const say = options.onProgress ?? (() => undefined)
    await disturb({nodes, server, proxies, store, client, park, dice, start, tookOver, say, report})
    await customers.stop()
    for (const node of nodes) await node.serving()?.stop()
    await store.close()
    await server.stop()
    clock.jump(afterAllMs)
    await server.start()
    const reader = connectEventStore(url)
    store = reader
    const withStore = <Value>(read: (store: EventStore) => Promise<Value>): Promise<Value> => read(reader)
    const figures = await conclude({nodes, client, clock, userIds, park, report, readyMs, withStore})
    return {violations, takeOversMs, ...figures}
  } finally {
    for (const node of nodes) await node.close()
    for (const proxy of proxies) await proxy.close()
    await store?.close()
    await server.close()
    await park.close()
  }
}

/** Who has the lease by the log; null when nobody has. */
export async function holderOf({store, nodes}: Scene): Promise<CrashNode | null> {
  const last = await lastOfLease(store)
  if (last === null || last.type === 'LeaseReleased') return null
  const {holder} = last.data as {readonly holder: string}
  for (const node of nodes) if ((await nodeIdOf(node)) === holder) return node
  return null
}

/** Waits until one of the nodes has the lease, and it is not `other`; answers who. */
export async function untilHeld(scene: Scene, other?: CrashNode): Promise<CrashNode> {
  const limit = AbortSignal.timeout(minuteMs)
  while (!limit.aborted) {
    const holder = await holderOf(scene)
    if (holder !== null && holder !== other) return holder
    await after(20)
  }
  throw new Error('nobody takes the lease')
}

async function lastOfLease(store: EventStore): Promise<RecordedEvent | null> {
  const events = await store.readStream(leaseStream, {direction: 'backwards', maxCount: 1})
  return events?.[0] ?? null
}

const nodeIdOf = async ({dataFolder}: CrashNode): Promise<string> =>
  (await readFile(join(dataFolder, 'node-id'), 'utf8')).trim()

/** A node that just started does not know the customers yet whom another has registered a moment ago. */
export async function untilKnown(
  nodes: readonly CrashNode[],
  client: Client,
  userIds: readonly UserId[],
): Promise<void> {
  const limit = AbortSignal.timeout(minuteMs)
  for (const node of nodes) {
    for (const userId of userIds) {
      const knows = (): Promise<boolean> =>
        client.ask(node, userId, '{ viewer { id } }').then(
          () => true,
          () => false,
        )
      while (!(await knows())) {
        limit.throwIfAborted()
        await after(20)
      }
    }
  }
}
