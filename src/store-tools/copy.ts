/** `npm run store:copy`: copies a store into another one that speaks EventStoreDB's protocol. */
import {type EventData, type EventStoreDBClient, jsonEvent} from '@eventstore/db-client'
import {parseArgs} from 'node:util'

import {type EmbeddedNode, startEmbeddedNode} from '../embedded-node/node.ts'
import {connectClient, disconnect} from '../event-store/esdb-client.ts'
import {CannotDo, eventsFolderOf, runTool, say} from './command-line.ts'
import {differenceOf, eventDataOf, sizeOf} from './copy-event.ts'
import {copyMetadata, verifyMetadata} from './copy-metadata.ts'
import {copiedEvents, eventsToCopy, GAP_TYPE, makePlan, type Plan, type StoredEvent} from './copy-plan.ts'

const usage = `npm run store:copy -- --from URL|DIR --to URL
  --from  esdb://… or a data folder that no program works in
  --to    esdb://…; empty, or an earlier, interrupted copy of the same source
Order, ids, types, data and metadata are kept; each event's first time of recording is in its metadata under "$copy".
Deleted streams, and events that streams no longer show, are not copied. Run it again to go on after an interruption, or to copy what was added since.`

export interface CopyReport {
  /** Events of the source that are in the target now. */
  readonly events: number
  readonly streams: number
  /** How many of them this run has copied. */
  readonly copied: number
}

/**
 * Copies what is missing in the target, then reads both from the start and compares them event by event.
 * @throws CannotDo when the target holds anything else, or the copy turns out not to be the same
 */
export async function copyStore(
  source: EventStoreDBClient,
  target: EventStoreDBClient,
  tell: (line: string) => void,
): Promise<CopyReport> {
  const plan = await makePlan(source)
  tell(`${plan.events} events to copy, up to position ${plan.end}; ${plan.deleted.size} deleted streams left out`)
  const {copied, nextRevisions} = await copyEvents(source, target, plan, tell)
  const progress = progressLines('verified', plan.events, tell)
  const {events, streams} = await verify(source, target, plan, progress)
  await copyMetadata(target, plan, nextRevisions)
  await verifyMetadata(target, plan, nextRevisions)
  tell(`Verified: ${events} events in ${streams} streams, in the same order, with the same ids and contents.`)
  return {events, streams, copied}
}

const EVENTS_PER_APPEND_MAX = 200
const BYTES_PER_APPEND_MAX = 512 * 1024
/**
 * Appends on their way at once, after the first: the client opens a call for each that comes before its first call is
 * there. Then they all go through that one, whose order the servers keep; the verification proves it.
 */
const APPENDS_IN_FLIGHT_MAX = 64

/** Answers how many events were appended, and where each stream of the target goes on. */
async function copyEvents(
  source: EventStoreDBClient,
  target: EventStoreDBClient,
  plan: Plan,
  tell: (line: string) => void,
): Promise<{readonly copied: number; readonly nextRevisions: ReadonlyMap<string, bigint>}> {
  const nextRevisions = new Map<string, bigint>()
  const there = copiedEvents(target, plan, ({streamId, revision}) => nextRevisions.set(streamId, revision + 1n))
  const sender = createSender(target, nextRevisions)
  const progress = progressLines('copied', plan.events, tell)
  let isResumed = false
  let [seen, copied] = [0, 0]
  for await (const event of eventsToCopy(source, plan)) {
    const existing = isResumed ? undefined : (await there.next()).value
    if (existing !== undefined) {
      assertSame(event, existing, seen)
    } else {
      if (!isResumed && seen > 0) tell(`The first ${seen} events are there already.`)
      isResumed = true
      await sender.send(event)
      copied++
    }
    progress(++seen)
  }
  await sender.finish()
  return {copied, nextRevisions}
}

function assertSame(source: StoredEvent, existing: StoredEvent, index: number): void {
  const difference = differenceOf(source, existing)
  if (difference === null) return
  throw new CannotDo(
    `The target holds events that are no copy of this source. Event ${index + 1} (${existing.streamId}, ` +
      `revision ${existing.revision}): ${difference}. Use an empty target.`,
  )
}

interface Sender {
  send(event: StoredEvent): Promise<void>
  finish(): Promise<void>
}

/** Appends in the order given, at the revisions given; events of one stream that follow each other go together. */
function createSender(target: EventStoreDBClient, nextRevisions: Map<string, bigint>): Sender {
  const inFlight: Promise<unknown>[] = []
  let inFlightMax = 1
  let run: {readonly stream: string; readonly from: bigint; readonly events: EventData[]} | null = null
  let bytes = 0

  const flush = async (): Promise<void> => {
    if (run === null) return
    const {stream, from, events} = run
    const append = target.appendToStream(stream, events, {
      expectedRevision: from === 0n ? 'no_stream' : from - 1n,
      deadline: APPEND_MS_MAX,
    })
    // Looked at when its turn comes; until then its failure is not unhandled.
    append.catch(() => undefined)
    inFlight.push(append)
    run = null
    bytes = 0
    while (inFlight.length >= inFlightMax) await settled(inFlight.shift())
    inFlightMax = APPENDS_IN_FLIGHT_MAX
  }
  const add = async (stream: string, event: EventData, size: number): Promise<void> => {
    const isFull = run !== null && (run.events.length >= EVENTS_PER_APPEND_MAX || bytes + size > BYTES_PER_APPEND_MAX)
    if (isFull || (run !== null && run.stream !== stream)) await flush()
    const next = nextRevisions.get(stream) ?? 0n
    run ??= {stream, from: next, events: []}
    run.events.push(event)
    bytes += size
    nextRevisions.set(stream, next + 1n)
  }

  return {
    async send(event) {
      const {streamId, revision} = event
      for (let next = nextRevisions.get(streamId) ?? 0n; next < revision; next++) {
        await add(streamId, jsonEvent({type: GAP_TYPE, data: {}}), 0)
      }
      await add(streamId, eventDataOf(event), sizeOf(event))
    },
    async finish() {
      await flush()
      while (inFlight.length > 0) await settled(inFlight.shift())
    },
  }
}

const APPEND_MS_MAX = 30_000

async function settled(append: Promise<unknown> | undefined): Promise<void> {
  try {
    await append
  } catch (error) {
    throw new CannotDo(`The target refused an append (${String(error)}). Run the copy again to go on.`)
  }
}

/** Reads both stores from their start. Answers how much was copied. */
async function verify(
  source: EventStoreDBClient,
  target: EventStoreDBClient,
  plan: Plan,
  progress: (done: number) => void,
): Promise<{readonly events: number; readonly streams: number}> {
  const streams = new Set<string>()
  const there = copiedEvents(target, plan)
  let seen = 0
  for await (const event of eventsToCopy(source, plan)) {
    const copy = (await there.next()).value
    if (copy === undefined) throw new CannotDo(`The target lacks events from the ${seen + 1}th on. Run the copy again.`)
    assertSame(event, copy, seen)
    streams.add(event.streamId)
    progress(++seen)
  }
  const surplus = (await there.next()).value
  if (surplus !== undefined) {
    const where = `${surplus.streamId}, revision ${surplus.revision}`
    throw new CannotDo(`The target holds more than the source: ${where}. It has been written to by others.`)
  }
  return {events: seen, streams: streams.size}
}

const PROGRESS_EVERY_MS = 2000

function progressLines(done: string, total: number, tell: (line: string) => void): (count: number) => void {
  const begunMs = performance.now()
  let toldMs = begunMs
  return count => {
    const nowMs = performance.now()
    if (nowMs - toldMs < PROGRESS_EVERY_MS) return
    toldMs = nowMs
    const perSecond = Math.round((1000 * count) / (nowMs - begunMs))
    tell(`  ${done} ${count} of ${total} (${Math.floor((100 * count) / Math.max(1, total))} %, ${perSecond}/s)`)
  }
}

if (import.meta.main) {
  await runTool(usage, async () => {
    const {values} = parseArgs({options: {from: {type: 'string'}, to: {type: 'string'}}})
    const {from, to} = values
    if (from === undefined || to === undefined) throw new CannotDo(usage)
    const isUrl = /^esdb(\+discover)?:/
    if (!isUrl.test(to))
      throw new CannotDo('--to is no connection string: esdb://…. To fill a folder, start a store on it.')
    let node: EmbeddedNode | null = null
    if (!isUrl.test(from)) {
      node = await startEmbeddedNode({dataDir: eventsFolderOf(from), host: '127.0.0.1'}).catch((error: unknown) => {
        throw new CannotDo(`${from} cannot be opened: ${(error as Error).message}. A running node has an address.`)
      })
    }
    const [source, target] = [connectClient(node?.connectionString ?? from), connectClient(to)]
    try {
      const {copied} = await copyStore(source, target, say)
      say(`Done: ${copied} events copied by this run.`)
    } finally {
      await Promise.all([source, target].map(disconnect))
      await node?.close()
    }
  })
}
