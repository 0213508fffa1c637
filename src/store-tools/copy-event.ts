/** One event on its way into another store: what is sent, and whether what arrived is the same. */
import {binaryEvent, type EventData, jsonEvent, type MetadataType} from '@eventstore/db-client'
import {isDeepStrictEqual} from 'node:util'

import type {StoredEvent} from './copy-plan.ts'

/**
 * The key that a copy adds to the metadata: `{created, position}`. `created` is when the first store recorded the event
 * (ISO 8601, UTC), also after several copies; `position` is where it was in the store it was copied from last.
 */
export const COPY_KEY = '$copy'

/** The event to append. Metadata that is no JSON object is kept as it is and carries no original time. */
export function eventDataOf(event: StoredEvent): EventData {
  const {id, type} = event
  const metadata = metadataOf(event) as MetadataType | undefined
  const common = {id, type, ...(metadata === undefined ? {} : {metadata})}
  if (event.isJson) return jsonEvent({...common, data: event.data as string})
  return binaryEvent({...common, data: event.data})
}

function metadataOf(event: StoredEvent): unknown {
  const metadata: unknown = event.metadata
  if (!isObject(metadata ?? {})) return metadata
  const position = String(event.position.commit)
  return {...(metadata as object | undefined), [COPY_KEY]: {created: originalTimeOf(event), position}}
}

/** When the first store recorded it. */
export function originalTimeOf({metadata, created}: StoredEvent): string {
  const earlier = isObject(metadata) ? metadata[COPY_KEY] : undefined
  const time = isObject(earlier) ? earlier['created'] : undefined
  return typeof time === 'string' ? time : created.toISOString()
}

/** What differs between an event and its copy; null when nothing does. */
export function differenceOf(source: StoredEvent, copy: StoredEvent): string | null {
  for (const key of ['streamId', 'revision', 'id', 'type', 'isJson'] as const) {
    if (source[key] !== copy[key]) return `${key} is ${String(copy[key])}, not ${String(source[key])}`
  }
  if (!isDeepStrictEqual(plain(source.data), plain(copy.data))) return 'the data differs'
  if (!isDeepStrictEqual(withoutKey(source.metadata), withoutKey(copy.metadata))) return 'the metadata differs'
  const carriesTime = isObject(source.metadata ?? {})
  return carriesTime && originalTimeOf(source) !== originalTimeOf(copy) ? 'the original time differs' : null
}

/** A rough size, for keeping appends under the servers' limit of 1 MiB. */
export function sizeOf({data, metadata}: StoredEvent): number {
  const size = (value: unknown): number =>
    value instanceof Uint8Array ? value.length : Buffer.byteLength(JSON.stringify(value ?? null))
  return size(data) + size(metadata) + 200
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

/** One kind of bytes, whatever class they came in. */
const plain = (value: unknown): unknown => (value instanceof Uint8Array ? new Uint8Array(value) : value)

function withoutKey(metadata: unknown): unknown {
  if (!isObject(metadata ?? {})) return plain(metadata)
  const {[COPY_KEY]: _, ...rest} = (metadata ?? {}) as Record<string, unknown>
  return rest
}
