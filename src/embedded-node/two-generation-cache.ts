/** A bounded map that forgets what was not used for a while. */
export interface Cache<Key, Value> {
  get(key: Key): Value | undefined
  set(key: Key, value: Value): void
  delete(key: Key): void
  clear(): void
}

/**
 * Keeps between `generationSize` and twice as many entries. When the young generation is full it becomes the old one
 * and what was the old one is forgotten: as cheap as a plain map, where a true least-recently-used list is not.
 */
export function twoGenerationCache<Key, Value>(generationSize: number): Cache<Key, Value> {
  let young = new Map<Key, Value>()
  let old = new Map<Key, Value>()
  const set = (key: Key, value: Value): void => {
    if (young.size >= generationSize && !young.has(key)) {
      old = young
      young = new Map()
    }
    young.set(key, value)
  }
  return {
    get(key) {
      const found = young.get(key)
      if (found !== undefined) return found
      const aged = old.get(key)
      if (aged !== undefined) set(key, aged)
      return aged
    },
    set,
    delete(key) {
      young.delete(key)
      old.delete(key)
    },
    clear() {
      young = new Map()
      old = new Map()
    },
  }
}
