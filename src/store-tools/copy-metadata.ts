/** The metadata of streams (limits, access rules) and tombstones: carried on last, when all events are there. */
import type {EventStoreDBClient} from '@eventstore/db-client'

import {CannotDo} from './command-line.ts'
import {eventDataOf} from './copy-event.ts'
import {isCopied, type Plan, type StoredEvent} from './copy-plan.ts'

/** Safe to repeat: what is there already is left alone. */
export async function copyMetadata(target: EventStoreDBClient, plan: Plan): Promise<void> {
  for (const [stream, event] of plan.metadata) {
    if (!isWanted(event, stream) || (await newestId(target, `$$${stream}`)) === event.id) continue
    await target.appendToStream(`$$${stream}`, eventDataOf(event))
  }
  // A tombstone keeps the name from being used again. Where the stream was never copied there is nothing to bury.
  for (const stream of plan.tombstoned) {
    if (stream.startsWith('$') || (await isTombstoned(target, stream))) continue
    await target.tombstoneStream(stream, {expectedRevision: 'no_stream'}).catch(() => bury(target, stream))
  }
}

/** @throws CannotDo */
export async function verifyMetadata(target: EventStoreDBClient, plan: Plan): Promise<void> {
  for (const [stream, event] of plan.metadata) {
    if (!isWanted(event, stream) || (await newestId(target, `$$${stream}`)) === event.id) continue
    throw new CannotDo(`The metadata of ${stream} is not in the target. Run the copy again.`)
  }
  for (const stream of plan.tombstoned) {
    if (stream.startsWith('$') || (await isTombstoned(target, stream))) continue
    throw new CannotDo(`${stream} is not tombstoned in the target. Run the copy again.`)
  }
}

const isWanted = (event: StoredEvent, stream: string): boolean => isCopied({...event, streamId: stream})

/** Servers refuse to tombstone a stream that never was: it gets an event first, which the tombstone hides. */
async function bury(target: EventStoreDBClient, stream: string): Promise<void> {
  await target.setStreamMetadata(stream, {})
  await target.tombstoneStream(stream)
}

async function newestId(client: EventStoreDBClient, stream: string): Promise<string | null> {
  try {
    const read = client.readStream(stream, {direction: 'backwards', fromRevision: 'end', maxCount: 1})
    for await (const {event} of read) return event?.id ?? null
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
