/** Keys with the time each is due, earliest first; a key set again takes its new time. A binary heap. */
export interface DueQueue {
  set(key: string, dueMs: number): void
  /** Sets a key unless it is due earlier already: it keeps its place among those that wait. */
  hurry(key: string, dueMs: number): void
  /** Makes every key due at this time at the latest. */
  hurryAll(dueMs: number): void
  delete(key: string): void
  /** Takes the earliest key that is due at `nowMs`; null when none is. */
  take(nowMs: number): string | null
  /** When the earliest key is due; null when there is none. */
  nextDueMs(): number | null
}

interface Entry {
  readonly key: string
  readonly dueMs: number
}

export function createDueQueue(): DueQueue {
  const heap: Entry[] = []
  // The heap may hold entries that were replaced or deleted; the map tells which are meant.
  const current = new Map<string, Entry>()

  const dropStale = (): void => {
    for (let top = heap[0]; top !== undefined && current.get(top.key) !== top; top = heap[0]) pop(heap)
  }
  const set = (key: string, dueMs: number): void => {
    if (current.get(key)?.dueMs === dueMs) return
    const entry = {key, dueMs}
    current.set(key, entry)
    push(heap, entry)
  }
  const hurry = (key: string, dueMs: number): void => {
    const known = current.get(key)
    if (known === undefined || known.dueMs > dueMs) set(key, dueMs)
  }
  return {
    set,
    hurry,
    hurryAll(dueMs) {
      for (const key of current.keys()) hurry(key, dueMs)
    },
    delete(key) {
      current.delete(key)
    },
    take(nowMs) {
      dropStale()
      const top = heap[0]
      if (top === undefined || top.dueMs > nowMs) return null
      pop(heap)
      current.delete(top.key)
      return top.key
    },
    nextDueMs() {
      dropStale()
      return heap[0]?.dueMs ?? null
    },
  }
}

function push(heap: Entry[], entry: Entry): void {
  heap.push(entry)
  let index = heap.length - 1
  while (index > 0) {
    const parent = (index - 1) >>> 1
    if (dueAt(heap, parent) <= entry.dueMs) break
    swap(heap, index, parent)
    index = parent
  }
}

function pop(heap: Entry[]): void {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  heap[0] = last
  let index = 0
  for (;;) {
    const left = 2 * index + 1
    const least = dueAt(heap, left + 1) < dueAt(heap, left) ? left + 1 : left
    if (dueAt(heap, least) >= last.dueMs) return
    swap(heap, index, least)
    index = least
  }
}

function dueAt(heap: readonly Entry[], index: number): number {
  return heap[index]?.dueMs ?? Infinity
}

function swap(heap: Entry[], a: number, b: number): void {
  const [first, second] = [heap[a], heap[b]]
  if (first === undefined || second === undefined) return
  heap[a] = second
  heap[b] = first
}
