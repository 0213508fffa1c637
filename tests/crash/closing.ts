import {DatabaseSync} from 'node:sqlite'
import {join} from 'node:path'
import {startEmbeddedNode} from '../../src/embedded-node/node.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import type {EventStore, RecordedEvent} from '../../src/event-store/port.ts'
import type {UserId} from '../../src/kernel/ids.ts'
import {foldedRows, rowsOf} from '../projections/support.ts'
import {audit, readLog} from './audit.ts'
import {compareStatements, statementOf, untilCalm} from './calm.ts'
import type {Client} from './client.ts'
import type {CrashNode, StartOptions, TestClock} from './nodes.ts'
import type {Park} from './park.ts'

export interface ClosingParts {
  /** None of them runs, and by the clock all is over that was booked for soon. */
  readonly nodes: readonly CrashNode[]
  readonly client: Client
  readonly clock: TestClock
  readonly userIds: readonly UserId[]
  readonly park: Park
  readonly report: (violation: string) => void
  /** Takes the times that the last starts took. */
  readonly readyMs: number[]
  readonly start?: StartOptions
  /** See `untilCalm`. */
  readonly patienceMs?: number | undefined
  /** The store, when no node runs any more. */
  readonly withStore: <Value>(read: (store: EventStore) => Promise<Value>) => Promise<Value>
}

/** What a run did. */
export interface Figures {
  readonly requests: number
  readonly acknowledged: number
  readonly repeated: number
  readonly events: number
  readonly machineStarts: number
  /** From the start of a program to its being ready. */
  readonly medianReadyMs: number
  readonly maxReadyMs: number
  /** How long after the last start it took until every hold that was due had ended. */
  readonly calmMs: number
}

/** By then all is over that customers book for soon. */
export const afterAllMs = 10 * 60_000
const minuteMs = 60_000

/**
 * The last start, after the end of all that was booked for soon: every hold that is due has to end, every machine to go
 * off. Then all that was seen is held against the log, and every node's read models against a fold from the start.
 */
export async function conclude(parts: ClosingParts): Promise<Figures> {
  const {nodes, client, clock, userIds, park, report} = parts
  for (const node of nodes) parts.readyMs.push((await startOrFail(node, parts.start)).readyMs)
  const [first] = nodes
  if (first === undefined) throw new Error('there is no node')
  const calmMs = await untilCalm(client, first, userIds, clock, parts.patienceMs)
  if (calmMs === null) report('a hold that was due had not ended in time after the last start')
  const isOff = await Promise.all(park.machineIds().map(id => park.untilOff(id, AbortSignal.timeout(minuteMs))))
  const shown = await Promise.all(nodes.map(async node => statementsOf(client, node, userIds)))
  for (const node of nodes) {
    const exit = await node.serving()?.stop()
    if (exit?.code !== 0) report(`${node.name} ended with ${JSON.stringify(exit)}:\n${node.printed()}`)
  }
  const events = await parts.withStore(async store => {
    for (const {dataFolder} of nodes) await compareRows(store, dataFolder, report)
    return readLog(store)
  })
  for (const [index, id] of park.machineIds().entries()) {
    const last = events.filter(({stream}) => stream === `machine-${id}`).slice(-12)
    if (isOff[index] === false) report(`${id} is still on, for nobody, after ${JSON.stringify(last.map(lineOf))}`)
  }
  audit({events, sent: client.sent, acknowledged: client.acknowledged, effects: park.effects, report})
  for (const statements of shown) compareStatements(events, statements, report)
  const sorted = parts.readyMs.toSorted((a, b) => a - b)
  return {
    requests: client.requests(),
    acknowledged: client.acknowledged.length,
    repeated: client.repeated(),
    events: events.length,
    machineStarts: park.effects.filter(({effect}) => effect === 'started').length,
    medianReadyMs: Math.round(sorted[sorted.length >> 1] ?? 0),
    maxReadyMs: Math.round(sorted.at(-1) ?? 0),
    calmMs: Math.round(calmMs ?? Infinity),
  }
}

/** Starts a node that has no reason to fail. */
export async function startOrFail(node: CrashNode, options: StartOptions = {}): Promise<Started> {
  const started = await node.start(options)
  if (!started.isReady) throw new Error(`${node.name} does not start:\n${node.printed()}`)
  return started
}

type Started = Extract<Awaited<ReturnType<CrashNode['start']>>, {readonly isReady: true}>

async function statementsOf(client: Client, node: CrashNode, userIds: readonly UserId[]) {
  return new Map(await Promise.all(userIds.map(async id => [id, await statementOf(client, node, id)] as const)))
}

const lineOf = ({type, data, recordedAtMs}: RecordedEvent): string =>
  `${new Date(recordedAtMs).toISOString()} ${type} ${JSON.stringify(data)}`

/** The log of a data folder that no program works in. */
export async function withLog<Value>(dataFolder: string, read: (store: EventStore) => Promise<Value>): Promise<Value> {
  const node = await startEmbeddedNode({dataDir: join(dataFolder, 'events'), host: '127.0.0.1'})
  const store = connectEventStore(node.connectionString)
  try {
    return await read(store)
  } finally {
    await store.close()
    await node.close()
  }
}

/** The rows that a node left against those of a fold from the start. */
export async function compareRows(
  store: EventStore,
  dataFolder: string,
  report: (violation: string) => void,
): Promise<void> {
  const db = new DatabaseSync(join(dataFolder, 'read-models.sqlite'), {readOnly: true})
  const live = rowsOf(db)
  db.close()
  const rebuilt = await foldedRows(store)
  for (const [table, rows] of Object.entries(live)) {
    if (JSON.stringify(rows) !== JSON.stringify(rebuilt[table]))
      report(`read model ${table} differs from a rebuilt one`)
  }
}
