/** Where recently stored event ids are, for repeats whose expected revision does not say where to look. */
import {twoGenerationCache} from './two-generation-cache.ts'

export interface Place {
  readonly stream: string
  readonly revision: number
  readonly position: number
}

export interface RecentIds {
  add(id: Uint8Array, place: Place): void
  find(id: Uint8Array): Place | null
  clear(): void
}

const GENERATION_SIZE = 50_000

export function recentIds(): RecentIds {
  const places = twoGenerationCache<string, Place>(GENERATION_SIZE)
  return {
    add(id, place) {
      places.set(keyOfId(id), place)
    },
    find: id => places.get(keyOfId(id)) ?? null,
    clear: () => places.clear(),
  }
}

/** One character per byte: the shortest exact key. */
export function keyOfId(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1')
}
