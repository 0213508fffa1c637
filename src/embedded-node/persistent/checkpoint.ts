/** When a group writes down where it stands. */
import type {GroupCommit} from '../group-commit.ts'
import type {Store} from '../store.ts'
import {readCheckpoint, writeCheckpoint} from './records.ts'
import type {GroupDefinition} from './settings.ts'

export interface Checkpoint {
  /** The newest that was written; null before the first. */
  last(this: void): number | null
  /** Writes it if it is due; `finished` events in all lie before it. `isTick` is true once a second. */
  mark(at: number, finished: number, isTick: boolean): void
}

export function openCheckpoint(
  store: Store,
  commits: GroupCommit,
  key: string,
  {source, settings}: GroupDefinition,
): Checkpoint {
  let last = readCheckpoint(store, source, key)
  let marked = 0
  let markedAtMs = -Infinity
  let isWriting = false
  const {checkpointAfterMs, minCheckpointCount, maxCheckpointCount} = settings
  const afterMs = checkpointAfterMs === 0 ? Infinity : checkpointAfterMs
  return {
    last: () => last,
    mark(at, finished, isTick) {
      const count = finished - marked
      if (isWriting || count <= 0) return
      const isFull = count >= maxCheckpointCount
      const isLate = isTick && count >= minCheckpointCount && performance.now() - markedAtMs >= afterMs
      if (!isFull && !isLate) return
      isWriting = true
      writeCheckpoint(store, commits, source, key, at, isDone => {
        isWriting = false
        if (!isDone) return
        last = at
        marked = finished
        markedAtMs = performance.now()
      })
    },
  }
}
