/** Stream metadata: the events of `$$stream`, and what they hide from reads of `stream`. */
export interface StreamRules {
  /** `$tb`: events before this revision are hidden; int64-max marks the stream as soft-deleted. */
  readonly truncateBefore?: number | undefined
  /** `$maxCount`: only so many of the newest events are shown. */
  readonly maxCount?: number | undefined
  /** `$maxAge`: seconds; older events are hidden. */
  readonly maxAgeSeconds?: number | undefined
}

/** int64-max, the mark of a soft-deleted stream, is no exact number: all from 2^53 on counts as it. */
const SOFT_DELETED_FROM = 2 ** 53

export const SOFT_DELETE_METADATA = Buffer.from('{"$tb":9223372036854775807}')

export const metadataStreamOf = (stream: string): string => `$$${stream}`

/** The stream whose metadata is kept in this one; null when it is no metadata stream. */
export const originalStreamOf = (stream: string): string | null => (stream.startsWith('$$') ? stream.slice(2) : null)

export const isSoftDeleted = (rules: StreamRules): boolean => (rules.truncateBefore ?? 0) >= SOFT_DELETED_FROM

/** Metadata that is no JSON object, or holds nonsense, hides nothing. */
export function parseRules(data: Uint8Array): StreamRules {
  const metadata = parseObject(data)
  const limit = (key: string): number | undefined => {
    const value = metadata[key]
    return typeof value === 'number' && value >= 0 ? value : undefined
  }
  return {truncateBefore: limit('$tb'), maxCount: limit('$maxCount'), maxAgeSeconds: limit('$maxAge')}
}

/** The metadata of a stream that comes back to life: as it was, with the events before `revision` hidden. */
export function undeleteMetadata(data: Uint8Array | null, revision: number): Buffer {
  return Buffer.from(JSON.stringify({...(data === null ? {} : parseObject(data)), $tb: revision}))
}

function parseObject(data: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8')
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? {...value} : {}
  } catch {
    return {}
  }
}
