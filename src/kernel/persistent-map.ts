/**
 * A map that is never changed: `put` and `drop` answer a new one that shares all but one small part with the old. It
 * lets a decider's `evolve` stay pure over states of many thousand entries (a pool's live allocations) at the price of
 * copying some hundred pointers. Keys are text; iteration order is not the order of insertion, but is the same for the
 * same history.
 */
export interface PersistentMap<Value> {
  readonly size: number
  /** Two levels of a fixed fan-out; what is empty is not there. */
  readonly branches: readonly (Branch<Value> | undefined)[]
}

type Branch<Value> = readonly (Leaf<Value> | undefined)[]
type Leaf<Value> = ReadonlyMap<string, Value>

const fanOut = 64
const nothing: readonly undefined[] = Array.from({length: fanOut}, () => undefined)
const empty: PersistentMap<never> = {size: 0, branches: nothing}

export function emptyMap<Value>(): PersistentMap<Value> {
  return empty
}

export function lookUp<Value>(map: PersistentMap<Value>, key: string): Value | undefined {
  const hash = hashOf(key)
  return map.branches[hash & 63]?.[hash >>> 6]?.get(key)
}

export function put<Value>(map: PersistentMap<Value>, key: string, value: Value): PersistentMap<Value> {
  const hash = hashOf(key)
  const old = map.branches[hash & 63]?.[hash >>> 6]
  const leaf = new Map(old)
  leaf.set(key, value)
  const grown = leaf.size - (old?.size ?? 0)
  return {size: map.size + grown, branches: withLeaf(map.branches, hash, leaf)}
}

export function drop<Value>(map: PersistentMap<Value>, key: string): PersistentMap<Value> {
  const hash = hashOf(key)
  const old = map.branches[hash & 63]?.[hash >>> 6]
  if (old === undefined || !old.has(key)) return map
  const leaf = new Map(old)
  leaf.delete(key)
  return {size: map.size - 1, branches: withLeaf(map.branches, hash, leaf.size === 0 ? undefined : leaf)}
}

export function* entriesOf<Value>(map: PersistentMap<Value>): Generator<readonly [string, Value]> {
  for (const branch of map.branches) {
    if (branch === undefined) continue
    for (const leaf of branch) if (leaf !== undefined) yield* leaf
  }
}

function withLeaf<Value>(
  branches: PersistentMap<Value>['branches'],
  hash: number,
  leaf: Leaf<Value> | undefined,
): PersistentMap<Value>['branches'] {
  const branch = (branches[hash & 63] ?? nothing).slice()
  branch[hash >>> 6] = leaf
  const copy = branches.slice()
  copy[hash & 63] = branch
  return copy
}

/** FNV-1a over the key's code units, folded to 12 bits: 6 for each level. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 12) ^ (hash >>> 24)) & 0xfff
}
