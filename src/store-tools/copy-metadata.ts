/** The metadata of streams (limits, access rules) and tombstones: carried on last, when all events are there. */
import {type EventStoreDBClient, jsonEvent, type JSONType} from '@eventstore/db-client'
import {isDeepStrictEqual} from 'node:util'

import {CannotDo} from './command-line.ts'
import {isObject} from './copy-event.ts'
import type {Plan} from './copy-plan.ts'

/** Where each stream of the target goes on. */
type Revisions = ReadonlyMap<string, bigint>

/** Safe to repeat: what is there already is left alone. */
export async function copyMetadata(target: EventStoreDBClient, plan: Plan, nextRevisions: Revisions): Promise<void> {
  for (const [stream, data] of metadataOf(plan, nextRevisions)) {
    if (isDeepStrictEqual(await newestMetadata(target, stream), data)) continue
    await target.appendToStream(`$$${stream}`, jsonEvent({type: '$metadata', data}))
  }
  // A tombstone keeps the name from being used again. Where the stream was never copied there is nothing to bury.
  for (const stream of plan.tombstoned) {
    if (stream.startsWith('$') || (await isTombstoned(target, stream))) continue
    await target.tombstoneStream(stream, {expectedRevision: 'no_stream'}).catch(() => bury(target, stream))
  }
}

/** @throws CannotDo */
export async function verifyMetadata(target: EventStoreDBClient, plan: Plan, nextRevisions: Revisions): Promise<void> {
  for (const [stream, data] of metadataOf(plan, nextRevisions)) {
    if (isDeepStrictEqual(await newestMetadata(target, stream), data)) continue
    throw new CannotDo(`The metadata of ${stream} is not in the target. Run the copy again.`)
  }
  for (const stream of plan.tombstoned) {
    if (stream.startsWith('$') || (await isTombstoned(target, stream))) continue
    throw new CannotDo(`${stream} is not tombstoned in the target. Run the copy again.`)
  }
}

/** For each stream what is to be in the target: as in the source, but for `$tb`. */
function* metadataOf({metadata, windows}: Plan, nextRevisions: Revisions): Iterable<readonly [string, JSONType]> {
  for (const stream of new Set([...metadata.keys(), ...windows.keys()])) {
    if (stream.startsWith('$')) continue
    const given: unknown = metadata.get(stream)?.data
    // Anything but a JSON object means nothing to a store.
    const {$tb: _, ...data} = isObject(given) ? (given as Readonly<Record<string, JSONType>>) : {}
    // Hides what stands in for events that are gone, and never what is yet to come.
    const before = smaller(windows.get(stream)?.first ?? 0n, nextRevisions.get(stream) ?? 0n)
    if (before > 0n) yield [stream, {...data, $tb: Number(before)}]
    else if (given !== undefined) yield [stream, data]
  }
}

const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b)

/** Servers refuse to tombstone a stream that never was: it gets an event first, which the tombstone hides. */
async function bury(target: EventStoreDBClient, stream: string): Promise<void> {
  await target.setStreamMetadata(stream, {})
  await target.tombstoneStream(stream)
}

async function newestMetadata(client: EventStoreDBClient, stream: string): Promise<unknown> {
  try {
    const read = client.readStream(`$$${stream}`, {direction: 'backwards', fromRevision: 'end', maxCount: 1})
    for await (const {event} of read) return event?.data ?? null
    return null
  } catch (error) {
    if ((error as {readonly type?: unknown}).type === 'stream-not-found') return null
    throw error
  }
}

async function isTombstoned(client: EventStoreDBClient, stream: string): Promise<boolean> {
  try {
    for await (const _ of client.readStream(stream, {maxCount: 1})) return false
    return false
  } catch (error) {
    const {type} = error as {readonly type?: unknown}
    if (type === 'stream-deleted') return true
    if (type === 'stream-not-found') return false
    throw error
  }
}
