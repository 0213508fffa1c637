/**
 * Protocol Buffers encoding, the few primitives that the node needs.
 * Source: protobuf.dev/programming-guides/encoding.
 */
import {TOMBSTONE_REVISION} from './records.ts'

export const EMPTY: Buffer = Buffer.alloc(0)

/** A message that cannot be decoded, or breaks a rule of the protocol; the text is safe to send back. */
export class BadMessage extends Error {
  override readonly name = 'BadMessage'
}

export interface Cursor {
  readonly bytes: Buffer
  at: number
}

export function readVarint(cursor: Cursor): number {
  let value = 0
  let scale = 1
  for (let count = 0; count < 10; count++) {
    const byte = cursor.bytes[cursor.at++]
    if (byte === undefined) throw new BadMessage('message is cut short')
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value
    scale *= 128
  }
  throw new BadMessage('a number has more than ten bytes')
}

export function readBytes(cursor: Cursor): Buffer {
  const length = readVarint(cursor)
  const end = cursor.at + length
  if (end > cursor.bytes.length) throw new BadMessage('message is cut short')
  const value = cursor.bytes.subarray(cursor.at, end)
  cursor.at = end
  return value
}

function skipField(cursor: Cursor, wireType: number): void {
  if (wireType === 0) readVarint(cursor)
  else if (wireType === 1) cursor.at += 8
  else if (wireType === 2) readBytes(cursor)
  else if (wireType === 5) cursor.at += 4
  else throw new BadMessage(`wire type ${wireType} is not in use`)
}

/** Calls `field` for each field of the message; `field` reads the value or answers false to have it skipped. */
export function eachField(bytes: Buffer, field: (number: number, cursor: Cursor, wireType: number) => boolean): void {
  const cursor: Cursor = {bytes, at: 0}
  while (cursor.at < bytes.length) {
    const tag = readVarint(cursor)
    const wireType = tag & 7
    if (!field(Math.floor(tag / 8), cursor, wireType)) skipField(cursor, wireType)
  }
}

export function readBigVarint(cursor: Cursor): bigint {
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = cursor.bytes[cursor.at++]
    if (byte === undefined) throw new BadMessage('message is cut short')
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return BigInt.asUintN(64, value)
  }
  throw new BadMessage('a number has more than ten bytes')
}

export function varintSize(value: number): number {
  if (value === TOMBSTONE_REVISION) return 9
  let size = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++
  return size
}

export function putVarint(out: Buffer, at: number, value: number): number {
  if (value === TOMBSTONE_REVISION) {
    // int64-max: nine bytes of seven one-bits each.
    out.fill(0xff, at, at + 8)
    out[at + 8] = 0x7f
    return at + 9
  }
  let rest = value
  let next = at
  while (rest >= 128) {
    out[next++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  out[next++] = rest
  return next
}

export function putBytes(out: Buffer, at: number, tag: number, bytes: Uint8Array): number {
  out[at] = tag
  const next = putVarint(out, at + 1, bytes.length)
  out.set(bytes, next)
  return next + bytes.length
}

export const sized = (length: number): number => 1 + varintSize(length) + length

/** Builds a length-delimited field; for the small and rare messages. */
export function field(number: number, value: Uint8Array | number): Buffer {
  if (typeof value === 'number') {
    const out = Buffer.alloc(1 + varintSize(value))
    out[0] = number << 3
    putVarint(out, 1, value)
    return out
  }
  const out = Buffer.alloc(sized(value.length))
  putBytes(out, 0, (number << 3) | 2, value)
  return out
}

export function bigField(number: number, value: bigint): Buffer {
  const bytes = [number << 3]
  let rest = value
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  bytes.push(Number(rest))
  return Buffer.from(bytes)
}
