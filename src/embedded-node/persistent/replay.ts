/** Brings parked messages back, a page at a time, as many as there is room for. */
import type {GroupCommit} from '../group-commit.ts'
import type {Store} from '../store.ts'
import type {Backlog} from './backlog.ts'
import {messageOf} from './message.ts'
import {parkedRange, parkedStreamOf, unpark} from './records.ts'

export interface Replay {
  isRunning(): boolean
  /** Replays what is parked now, up to, without, the revision `stopAt` of the parked stream. */
  begin(stopAt: number | null): void
  /** Reads on while there is room. */
  advance(): void
}

const PAGE = 100

export function openReplay(store: Store, commits: GroupCommit, key: string, backlog: Backlog): Replay {
  let job: {next: number; readonly end: number} | null = null
  const advance = (): void => {
    while (job !== null && backlog.hasRoomToReplay()) {
      const {next, end} = job
      const page = store.readStream(parkedStreamOf(key), 'forwards', next, Math.min(PAGE, end - next))
      for (const parked of page) if (parked.revision < end) backlog.retry(messageOf(store, parked, true))
      job.next = (page.at(-1)?.revision ?? end) + 1
      if (job.next < end) continue
      job = null
      unpark(commits, key, end, () => undefined)
    }
  }
  return {
    isRunning: () => job !== null,
    begin(stopAt) {
      const {first, end} = parkedRange(store, key)
      const stop = Math.min(stopAt ?? end, end)
      if (job !== null || stop <= first) return
      job = {next: first, end: stop}
      advance()
    },
    advance,
  }
}
