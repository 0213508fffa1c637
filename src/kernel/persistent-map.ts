/**
 * A map that is never changed: `put` and `drop` answer a new one that shares all but one bucket with the old. It lets
 * a decider's `evolve` stay pure over states of many thousand entries (a pool's live allocations) at the price of
 * copying some tens of entries. Keys are text; iteration order is not the order of insertion, but is the same for the
 * same history.
 */
export interface PersistentMap<Value> {
  readonly size: number
  readonly buckets: readonly (ReadonlyMap<string, Value> | undefined)[]
}

const bucketCount = 256
const empty: PersistentMap<never> = {size: 0, buckets: Array.from({length: bucketCount}, () => undefined)}

export function emptyMap<Value>(): PersistentMap<Value> {
  return empty
}

export function lookUp<Value>(map: PersistentMap<Value>, key: string): Value | undefined {
  return map.buckets[bucketOf(key)]?.get(key)
}

export function put<Value>(map: PersistentMap<Value>, key: string, value: Value): PersistentMap<Value> {
  const index = bucketOf(key)
  const bucket = new Map(map.buckets[index])
  const grown = bucket.has(key) ? 0 : 1
  bucket.set(key, value)
  return {size: map.size + grown, buckets: withBucket(map.buckets, index, bucket)}
}

export function drop<Value>(map: PersistentMap<Value>, key: string): PersistentMap<Value> {
  const index = bucketOf(key)
  const old = map.buckets[index]
  if (old === undefined || !old.has(key)) return map
  const bucket = new Map(old)
  bucket.delete(key)
  return {size: map.size - 1, buckets: withBucket(map.buckets, index, bucket.size === 0 ? undefined : bucket)}
}

export function* entriesOf<Value>(map: PersistentMap<Value>): Generator<readonly [string, Value]> {
  for (const bucket of map.buckets) if (bucket !== undefined) yield* bucket
}

export function* valuesOf<Value>(map: PersistentMap<Value>): Generator<Value> {
  for (const bucket of map.buckets) if (bucket !== undefined) yield* bucket.values()
}

function withBucket<Value>(
  buckets: readonly (ReadonlyMap<string, Value> | undefined)[],
  index: number,
  bucket: ReadonlyMap<string, Value> | undefined,
): readonly (ReadonlyMap<string, Value> | undefined)[] {
  const copy = buckets.slice()
  copy[index] = bucket
  return copy
}

/** FNV-1a over the key's code units, folded to a bucket number. */
function bucketOf(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 16)) & (bucketCount - 1)
}
