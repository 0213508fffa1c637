/**
 * The messages of appends and deletes, encoded and decoded by hand: the generated code copies every payload several
 * times and builds an object per field. Field numbers are those of streams.proto and shared.proto, which the client
 * publishes under Apache-2.0.
 */
import {BadMessage, eachField, EMPTY, field, readBigVarint, readBytes, readVarint} from './protobuf.ts'
import type {Expected, ProposedEvent} from './records.ts'

export interface BatchAppendChunk {
  /** The encoded UUID message, echoed back as it came. */
  readonly correlation: Buffer
  /** Present on the first chunk of a correlation id. */
  readonly options: BatchAppendOptions | null
  readonly events: readonly ProposedEvent[]
  /** Why an event of the chunk cannot be taken; null when all can. */
  readonly problem: string | null
  readonly isFinal: boolean
}

export interface BatchAppendOptions {
  readonly stream: string
  readonly expected: Expected
  /** Milliseconds since the Unix epoch. */
  readonly deadlineMs: number
}

/** Decodes a `BatchAppendReq`; data and metadata are views into `message`, not copies. */
export function decodeBatchAppendReq(message: Buffer): BatchAppendChunk {
  let correlation = EMPTY
  let options: BatchAppendOptions | null = null
  const events: ProposedEvent[] = []
  let problem: string | null = null
  let isFinal = false
  eachField(message, (number, cursor, wireType) => {
    if (number === 4 && wireType === 0) isFinal = readVarint(cursor) !== 0
    else if (wireType !== 2) return false
    else if (number === 1) correlation = readBytes(cursor)
    else if (number === 2) options = decodeAppendOptions(readBytes(cursor))
    else if (number === 3) {
      const event = tryDecodeProposedMessage(readBytes(cursor))
      if (typeof event === 'string') problem = event
      else events.push(event)
    } else return false
    return true
  })
  return {correlation, options, events, problem, isFinal}
}

/** The event, or what is wrong with it: one bad event must not end a stream of appends that carries others. */
function tryDecodeProposedMessage(bytes: Buffer): ProposedEvent | string {
  try {
    return decodeProposedMessage(bytes)
  } catch (error) {
    if (error instanceof BadMessage) return error.message
    throw error
  }
}

/** The options of a batch and of a unary append; only a batch has a deadline in them. */
function decodeAppendOptions(bytes: Buffer): BatchAppendOptions {
  let stream = ''
  let expected: Expected = 'any'
  let deadlineMs = Infinity
  eachField(bytes, (number, cursor, wireType) => {
    if (number === 1 && wireType === 2) stream = decodeStreamIdentifier(readBytes(cursor))
    else if (number === 2 && wireType === 0) expected = readVarint(cursor)
    else if (number === 6 && wireType === 2) deadlineMs = decodeTimestamp(readBytes(cursor))
    else {
      if (number === 3) expected = 'noStream'
      else if (number === 5) expected = 'streamExists'
      return false
    }
    return true
  })
  return {stream, expected, deadlineMs}
}

function decodeStreamIdentifier(bytes: Buffer): string {
  let name = ''
  eachField(bytes, (number, cursor, wireType) => {
    if (number !== 3 || wireType !== 2) return false
    name = readBytes(cursor).toString('utf8')
    return true
  })
  return name
}

function decodeTimestamp(bytes: Buffer): number {
  let seconds = 0
  let nanos = 0
  eachField(bytes, (number, cursor, wireType) => {
    if (wireType !== 0) return false
    if (number === 1) seconds = readVarint(cursor)
    else if (number === 2) nanos = readVarint(cursor)
    else return false
    return true
  })
  return seconds * 1000 + nanos / 1e6
}

/** Decodes a `ProposedMessage`, of a batch or of a unary append: both have the same fields. */
export function decodeProposedMessage(bytes: Buffer): ProposedEvent {
  let id: Uint8Array | null = null
  let type = ''
  let contentType = ''
  let metadata = EMPTY
  let data = EMPTY
  eachField(bytes, (number, cursor, wireType) => {
    if (wireType !== 2) return false
    if (number === 1) id = decodeUuid(readBytes(cursor))
    else if (number === 2) {
      const [key, value] = decodeMapEntry(readBytes(cursor))
      if (key === 'type') type = value
      else if (key === 'content-type') contentType = value
    } else if (number === 3) metadata = readBytes(cursor)
    else if (number === 4) data = readBytes(cursor)
    else return false
    return true
  })
  if (id === null) throw new BadMessage('an event has no id')
  if (type === '') throw new BadMessage('an event has no type')
  if (type.includes('\0')) throw new BadMessage('an event type holds a NUL')
  if (contentType === '') throw new BadMessage('an event has no content-type')
  return {id, type, isJson: contentType === 'application/json', data, metadata}
}

function decodeMapEntry(bytes: Buffer): readonly [string, string] {
  let key = ''
  let value = ''
  eachField(bytes, (number, cursor, wireType) => {
    if (wireType !== 2) return false
    if (number === 1) key = readBytes(cursor).toString('utf8')
    else if (number === 2) value = readBytes(cursor).toString('utf8')
    else return false
    return true
  })
  return [key, value]
}

function decodeUuid(bytes: Buffer): Uint8Array {
  let id: Uint8Array | null = null
  eachField(bytes, (number, cursor, wireType) => {
    if (wireType !== 2) return false
    if (number === 1) id = decodeStructuredUuid(readBytes(cursor))
    else if (number === 2) id = uuidFromText(readBytes(cursor))
    else return false
    return true
  })
  if (id === null) throw new BadMessage('an event id is no UUID')
  return id
}

function decodeStructuredUuid(bytes: Buffer): Uint8Array {
  const id = Buffer.alloc(16)
  eachField(bytes, (number, cursor, wireType) => {
    if (wireType !== 0 || (number !== 1 && number !== 2)) return false
    id.writeBigUInt64BE(readBigVarint(cursor), (number - 1) * 8)
    return true
  })
  return id
}

const nibbles = new Int8Array(256).fill(-1)
for (let value = 0; value < 16; value++) {
  nibbles[value.toString(16).charCodeAt(0)] = value
  nibbles[value.toString(16).toUpperCase().charCodeAt(0)] = value
}

function uuidFromText(text: Buffer): Uint8Array {
  const id = new Uint8Array(16)
  let from = 0
  for (let byte = 0; byte < 16; byte++) {
    if (byte === 4 || byte === 6 || byte === 8 || byte === 10) from += text[from] === 0x2d ? 1 : 36
    const high = nibbles[text[from] ?? 0] ?? -1
    const low = nibbles[text[from + 1] ?? 0] ?? -1
    if ((high | low) < 0) throw new BadMessage('an event id is no UUID')
    id[byte] = high * 16 + low
    from += 2
  }
  if (from !== text.length) throw new BadMessage('an event id is no UUID')
  return id
}

/**
 * Encodes a `BatchAppendResp` {correlation_id = 1, error = 2 | success = 3, stream_identifier = 4, and the expectation
 * as it was given: stream_position = 5, no_stream = 6, any = 7, stream_exists = 8}.
 */
export function encodeBatchAppendResp(
  correlation: Buffer,
  options: BatchAppendOptions,
  answer: {readonly error: Uint8Array} | {readonly revision: number | null; readonly position: number | null},
): Buffer {
  const body = 'error' in answer ? field(2, answer.error) : field(3, encodeSuccess(answer.revision, answer.position))
  const stream = field(4, field(3, Buffer.from(options.stream)))
  return Buffer.concat([field(1, correlation), body, stream, encodeExpected(options.expected)])
}

/** Success {current_revision = 1 | no_stream = 2, position = 3 | no_position = 4}, of batch and unary appends alike. */
export function encodeSuccess(revision: number | null, position: number | null): Buffer {
  return Buffer.concat([
    revision === null ? field(2, EMPTY) : field(1, revision),
    position === null ? field(4, EMPTY) : field(3, positionFields(position)),
  ])
}

function encodeExpected(expected: Expected): Buffer {
  if (typeof expected === 'number') return field(5, expected)
  if (expected === 'noStream') return field(6, EMPTY)
  return expected === 'any' ? field(7, EMPTY) : field(8, EMPTY)
}

/** One message of a unary Append: first the stream and its expected revision, then an event each. */
export interface AppendPart {
  readonly target: {readonly stream: string; readonly expected: Expected} | null
  readonly event: ProposedEvent | null
}

/** Decodes an `AppendReq` {options = 1, proposed_message = 2}; the fields of its options are those of a batch's. */
export function decodeAppendReq(message: Buffer): AppendPart {
  let target: AppendPart['target'] = null
  let event: ProposedEvent | null = null
  eachField(message, (number, cursor, wireType) => {
    if (wireType !== 2) return false
    if (number === 1) target = decodeAppendOptions(readBytes(cursor))
    else if (number === 2) event = decodeProposedMessage(readBytes(cursor))
    else return false
    return true
  })
  return {target, event}
}

/** AppendResp {success = 1}. */
export const encodeAppendSuccess = (revision: number | null, position: number | null): Buffer =>
  field(1, encodeSuccess(revision, position))

/**
 * AppendResp {wrong_expected_version = 2 {current_revision = 6 | current_no_stream = 7, expected_revision = 8 |
 * expected_any = 9 | expected_stream_exists = 10 | expected_no_stream = 11}}.
 */
export function encodeAppendWrongVersion(expected: Expected, actual: number | null): Buffer {
  const current = actual === null ? field(7, EMPTY) : field(6, actual)
  const given =
    typeof expected === 'number' ? field(8, expected) : field({any: 9, streamExists: 10, noStream: 11}[expected], EMPTY)
  return field(2, Buffer.concat([current, given]))
}

/** DeleteResp and TombstoneResp {position = 1}. */
export const encodePositionReply = (position: number): Buffer => field(1, positionFields(position))

const positionFields = (position: number): Buffer => Buffer.concat([field(1, position), field(2, position)])
