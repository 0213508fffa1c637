/**
 * Tells a write-ahead log that a power cut tore from one that was damaged later. SQLite stops reading at the first bad
 * frame, which is right after a power cut (only the last, never acknowledged transaction can be bad) and would silently
 * drop acknowledged events if the bad frame lay further back. Source of the format: sqlite.org/fileformat2.html#walformat.
 */
import {closeSync, fstatSync, openSync, readSync} from 'node:fs'

const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24
/** Far more than the node lets it grow to; what is behind is not looked at, so that a start takes a bounded time. */
const LOOKED_AT_BYTES_MAX = 256 * 1024 * 1024
const MAGIC_LITTLE_ENDIAN = 0x377f0682

/**
 * Answers what is wrong, or null. Each transaction is synced before the next one begins. So what follows a bad frame can
 * at most be the rest of one transaction; whatever comes after that rest proves that synced frames have gone bad.
 */
export function walDamage(path: string): string | null {
  const bytes = readStart(path)
  if (bytes === null || bytes.length < HEADER_BYTES + FRAME_HEADER_BYTES) return null
  const header = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES)
  // The header is synced before the first frame is written.
  if ((header.getUint32(0) & ~1) >>> 0 !== MAGIC_LITTLE_ENDIAN) return 'its write-ahead log has no header'
  // Of a machine of the other byte order; SQLite reads it, this check does not.
  if (header.getUint32(0) !== MAGIC_LITTLE_ENDIAN) return null
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
  const seed = checksum(words, 0, 6, 0, 0)
  if (seed[0] !== header.getInt32(24) || seed[1] !== header.getInt32(28)) {
    return 'the header of its write-ahead log is damaged'
  }
  return frameDamage(bytes, words, header.getUint32(8), seed)
}

type Pair = readonly [number, number]

function frameDamage(bytes: Buffer, words: Int32Array, pageBytes: number, seed: Pair): string | null {
  const frameBytes = FRAME_HEADER_BYTES + pageBytes
  const count = Math.floor((bytes.length - HEADER_BYTES) / frameBytes)
  let before = seed
  let badFrame: number | null = null
  let isCommitBehind = false
  for (let frame = 0; frame < count; frame++) {
    const at = HEADER_BYTES + frame * frameBytes
    // Frames of an earlier use of the file have other salts.
    const isOfThisUse = bytes.compare(bytes, 16, 24, at + 8, at + 16) === 0
    const [first, second] = checksum(words, at >> 2, 2, before[0], before[1])
    const sum = checksum(words, (at + FRAME_HEADER_BYTES) >> 2, pageBytes >> 2, first, second)
    const stored: Pair = [bytes.readInt32BE(at + 16), bytes.readInt32BE(at + 20)]
    const isGood = isOfThisUse && sum[0] === stored[0] && sum[1] === stored[1]
    const isCommit = isOfThisUse && bytes.readUInt32BE(at + 4) !== 0
    if (isGood && isCommitBehind) return `frame ${badFrame ?? 0} of its write-ahead log is damaged`
    if (!isGood) badFrame ??= frame
    if (badFrame !== null && isCommit) isCommitBehind = true
    before = stored
  }
  return null
}

/** SQLite's checksum of pairs of words, over `count` words from `from` on. */
function checksum(words: Int32Array, from: number, count: number, first: number, second: number): Pair {
  let a = first
  let b = second
  for (let at = from; at < from + count; at += 2) {
    a = (a + (words[at] ?? 0) + b) | 0
    b = (b + (words[at + 1] ?? 0) + a) | 0
  }
  return [a, b]
}

function readStart(path: string): Buffer | null {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    // Of its own, so that it can be looked at as words.
    const bytes = Buffer.from(new ArrayBuffer(Math.min(fstatSync(file).size, LOOKED_AT_BYTES_MAX) & ~3))
    let read = 0
    while (read < bytes.length) {
      const count = readSync(file, bytes, read, bytes.length - read, read)
      if (count === 0) break
      read += count
    }
    return bytes
  } finally {
    closeSync(file)
  }
}
