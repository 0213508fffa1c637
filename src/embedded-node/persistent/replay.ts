/**
 * Brings parked messages back, a page at a time, as many as there is room for. A message leaves the parked stream only
 * when it is done: one that a crash or a change of the group comes between is still parked (EventStoreDB loses it).
 */
import type {GroupCommit} from '../group-commit.ts'
import type {Store} from '../store.ts'
import type {Backlog} from './backlog.ts'
import {type Message, messageOf} from './message.ts'
import {parkedRange, parkedStreamOf, unpark} from './records.ts'

export interface Replay {
  isRunning(): boolean
  /** Replays what is parked now and not on its way, up to, without, the revision `stopAt` of the parked stream. */
  begin(stopAt: number | null): void
  /** Reads on while there is room. */
  advance(): void
  /** Told of every message that is acknowledged, skipped or parked. */
  done(message: Message): void
  /** Nothing is written from then on. */
  close(): void
}

const PAGE = 100

export function openReplay(store: Store, commits: GroupCommit, key: string, backlog: Backlog): Replay {
  /** Revisions of the parked stream that are on their way, in order. */
  const replayed = new Set<number>()
  /** The first that was not read. */
  let next = 0
  let end: number | null = null
  let hiddenBefore = 0
  let isHiding = false
  let isClosed = false

  const hide = (): void => {
    const before = replayed.values().next().value ?? next
    if (isClosed || isHiding || before <= hiddenBefore) return
    isHiding = true
    unpark(commits, key, before, isDone => {
      isHiding = false
      if (!isDone) return
      hiddenBefore = before
      hide()
    })
  }
  const advance = (): void => {
    while (end !== null && backlog.hasRoomToReplay()) {
      const page = store.readStream(parkedStreamOf(key), 'forwards', next, Math.min(PAGE, end - next))
      for (const parked of page) {
        if (parked.revision >= end) break
        replayed.add(parked.revision)
        backlog.retry(messageOf(store, parked, true, {sequence: null, previous: null, parked: parked.revision}))
      }
      next = Math.min((page.at(-1)?.revision ?? end) + 1, end)
      if (next >= end) end = null
    }
  }
  return {
    isRunning: () => end !== null,
    begin(stopAt) {
      const range = parkedRange(store, key)
      hiddenBefore = Math.max(hiddenBefore, range.first)
      next = Math.max(next, range.first)
      const stop = Math.min(stopAt ?? range.end, range.end)
      if (end !== null || stop <= next) return
      end = stop
      advance()
    },
    advance,
    done({parked}) {
      if (parked !== null && replayed.delete(parked)) hide()
    },
    close() {
      isClosed = true
    },
  }
}
