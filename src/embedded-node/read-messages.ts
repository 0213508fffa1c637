/** The messages of reads, encoded by hand: each payload is copied once, into the buffer that goes to the socket. */
import {bigField, EMPTY, field, putBytes, putVarint, sized, varintSize} from './protobuf.ts'
import type {StoredEvent} from './records.ts'

const hexPairs = Array.from({length: 256}, (_, byte) => byte.toString(16).padStart(2, '0'))

export type UuidForm = 'string' | 'structured'

function encodeUuid(id: Uint8Array, form: UuidForm): Buffer {
  if (form === 'structured') {
    const view = Buffer.from(id.buffer, id.byteOffset, 16)
    return field(1, Buffer.concat([0, 8].map(at => bigField((at >> 3) + 1, view.readBigUInt64BE(at)))))
  }
  const out = Buffer.allocUnsafe(38)
  out[0] = 0x12
  out[1] = 36
  let text = ''
  for (let byte = 0; byte < 16; byte++) {
    if (byte === 4 || byte === 6 || byte === 8 || byte === 10) text += '-'
    text += hexPairs[id[byte] ?? 0]
  }
  out.write(text, 2, 'latin1')
  return out
}

const REMEMBERED_NAME_LENGTH_MAX = 256

/**
 * A bounded memory of encoded names. A store has few event types and few streams are busy at a time, so that most
 * events find theirs here.
 */
function remembered(encode: (name: string) => Buffer): (name: string) => Buffer {
  const known = new Map<string, Buffer>()
  return name => {
    if (name.length > REMEMBERED_NAME_LENGTH_MAX) return encode(name)
    const found = known.get(name)
    if (found !== undefined) return found
    if (known.size >= 4096) known.clear()
    const encoded = encode(name)
    known.set(name, encoded)
    return encoded
  }
}

const mapEntry = (key: string, value: string): Buffer =>
  field(6, Buffer.concat([field(1, Buffer.from(key)), field(2, Buffer.from(value))]))

const streamField = remembered(name => field(2, field(3, Buffer.from(name))))
const jsonTypeEntries = remembered(type =>
  Buffer.concat([mapEntry('type', type), mapEntry('content-type', 'application/json')]),
)
const binaryTypeEntries = remembered(type =>
  Buffer.concat([mapEntry('type', type), mapEntry('content-type', 'application/octet-stream')]),
)

/** Ticks of 100 ns since the Unix epoch; built as text because they exceed what a number holds exactly. */
const createdEntry = remembered(ms => mapEntry('created', `${ms}0000`))

/** Writes a `RecordedEvent` and answers where it ends; without a buffer it answers the size. */
function encodeRecordedEvent(event: StoredEvent, form: UuidForm, out: Buffer | null, start: number): number {
  const stream = streamField(event.stream)
  const entries = event.isJson ? jsonTypeEntries(event.type) : binaryTypeEntries(event.type)
  const created = createdEntry(String(event.createdMs))
  const uuid = encodeUuid(event.id, form)
  if (out === null) {
    const numbers = 3 + varintSize(event.revision) + 2 * varintSize(event.position)
    const payload = sized(event.metadata.length) + sized(event.data.length)
    return sized(uuid.length) + stream.length + numbers + entries.length + created.length + payload
  }
  let at = putBytes(out, start, 0x0a, uuid)
  at += stream.copy(out, at)
  out[at] = 0x18
  at = putVarint(out, at + 1, event.revision)
  out[at] = 0x20
  at = putVarint(out, at + 1, event.position)
  out[at] = 0x28
  at = putVarint(out, at + 1, event.position)
  at += entries.copy(out, at)
  at += created.copy(out, at)
  at = putBytes(out, at, 0x3a, event.metadata)
  return putBytes(out, at, 0x42, event.data)
}

/**
 * Encodes a `ReadEvent`, the field `event` of ReadResp (number 1) and of the persistent subscriptions' ReadResp (1 too).
 * Source: streams.proto, ReadResp.ReadEvent {event = 1, link = 2, commit_position = 3}; persistent.proto has
 * {retry_count = 5} beside these.
 */
export function encodeReadEvent(
  event: StoredEvent | null,
  link: StoredEvent | null,
  form: UuidForm,
  retryCount: number | null = null,
): Buffer {
  const eventSize = event === null ? 0 : encodeRecordedEvent(event, form, null, 0)
  const linkSize = link === null ? 0 : encodeRecordedEvent(link, form, null, 0)
  const position = (link ?? event)?.position ?? 0
  const retrySize = retryCount === null ? 0 : 1 + varintSize(retryCount)
  const messages = (event === null ? 0 : sized(eventSize)) + (link === null ? 0 : sized(linkSize))
  const size = messages + 1 + varintSize(position) + retrySize
  const out = Buffer.allocUnsafe(sized(size))
  out[0] = 0x0a
  let at = putVarint(out, 1, size)
  if (event !== null) {
    out[at] = 0x0a
    at = encodeRecordedEvent(event, form, out, putVarint(out, at + 1, eventSize))
  }
  if (link !== null) {
    out[at] = 0x12
    at = encodeRecordedEvent(link, form, out, putVarint(out, at + 1, linkSize))
  }
  out[at] = 0x18
  at = putVarint(out, at + 1, position)
  if (retryCount === null) return out
  out[at] = 0x28
  putVarint(out, at + 1, retryCount)
  return out
}

/** ReadResp {confirmation = 2 {subscription_id = 1}}. */
export const encodeConfirmation = (subscriptionId: string): Buffer => field(2, field(1, Buffer.from(subscriptionId)))
/** ReadResp {checkpoint = 3 {commit_position = 1, prepare_position = 2}}. */
export const encodeCheckpoint = (position: number): Buffer =>
  field(3, Buffer.concat([field(1, position), field(2, position)]))
/** ReadResp {stream_not_found = 4 {stream_identifier = 1 {stream_name = 3}}}. */
export const encodeStreamNotFound = (stream: string): Buffer => field(4, field(1, field(3, Buffer.from(stream))))
/** ReadResp {caught_up = 8 {}}. */
export const encodeCaughtUp = (): Buffer => field(8, EMPTY)
