/** All groups of the node: which there are, how they change, and what wakes them. */
import type {ServiceError} from '@grpc/grpc-js'

import type {GroupCommit} from '../group-commit.ts'
import {groupError} from '../grpc-errors.ts'
import type {ReadContext} from '../read-context.ts'
import {type Changes, openChanges} from './changes.ts'
import {CONFIG_STREAM, readConfig} from './config.ts'
import {type Group, openGroup} from './group.ts'
import {groupKey} from './settings.ts'

export interface Hub extends Changes {
  /** The group, or why there is none. */
  find(source: string, group: string): Group | ServiceError
  list(): readonly Group[]
  /** Ends all calls and reads the groups again. */
  restart(): void
  close(): void
}

const TICK_MS = 1000

export function openHub(context: ReadContext, commits: GroupCommit): Hub {
  const groups = new Map<string, Group>()
  let problem = loadGroups(context, commits, groups)

  const closeAll = (): void => {
    for (const group of groups.values()) group.close()
    groups.clear()
  }
  const each = (act: (group: Group) => void): void => {
    context.guard(() => {
      for (const group of groups.values()) act(group)
    })
  }
  const advanceAll = (): void => {
    context.tail.onCommit(advanceAll)
    each(group => group.advance())
  }
  const ticking = setInterval(() => each(group => group.tick()), TICK_MS)
  advanceAll()
  return {
    ...openChanges(context, commits, groups, () => problem),
    find(source, group) {
      const missing = problem === null ? groupError('does-not-exist', source, group) : null
      return groups.get(groupKey(source, group)) ?? missing ?? groupError('failed', source, group, problem ?? '')
    },
    list: () => [...groups.values()],
    restart() {
      closeAll()
      problem = loadGroups(context, commits, groups)
      each(group => group.advance())
    },
    close() {
      clearInterval(ticking)
      closeAll()
    },
  }
}

/** Opens the groups that are configured; answers why it cannot, so that the rest of the node works on. */
function loadGroups(context: ReadContext, commits: GroupCommit, groups: Map<string, Group>): string | null {
  try {
    for (const definition of readConfig(context.store)) {
      const group = openGroup(context, commits, definition)
      groups.set(group.key, group)
    }
    return null
  } catch (error) {
    for (const group of groups.values()) group.close()
    groups.clear()
    const text = error instanceof Error ? error.message : String(error)
    return `what ${CONFIG_STREAM} or a checkpoint says cannot be read: ${text.replaceAll(/\s+/g, ' ')}`
  }
}
