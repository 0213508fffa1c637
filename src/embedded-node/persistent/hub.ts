/** All groups of the node: which there are, how they change, and what wakes them. */
import type {ServiceError} from '@grpc/grpc-js'

import type {GroupCommit} from '../group-commit.ts'
import {groupError} from '../grpc-errors.ts'
import {BadMessage} from '../protobuf.ts'
import type {ReadContext} from '../read-context.ts'
import {metadataStreamOf} from '../stream-rules.ts'
import {CONFIG_STREAM, CONFIG_TYPE, configData, readConfig} from './config.ts'
import {type Group, openGroup} from './group.ts'
import {append, checkpointStreamOf, jsonEvent, metadataEvent, parkedStreamOf} from './records.ts'
import {definitionProblem, type GroupDefinition, groupKey} from './settings.ts'

type Change = Promise<ServiceError | null>

export interface Hub {
  create(definition: GroupDefinition, user: string): Change
  /** The group begins anew from its checkpoint, without its consumers; its filter stays. */
  update(definition: GroupDefinition, user: string): Change
  remove(source: string, group: string, user: string): Change
  /** The group, or why there is none. */
  find(source: string, group: string): Group | ServiceError
  list(): readonly Group[]
  /** Ends all calls and reads the groups again. */
  restart(): void
  close(): void
}

const TICK_MS = 1000
const GROUPS_MAX = 1000
const CHANGES_MAX = 1000

export function openHub(context: ReadContext, commits: GroupCommit): Hub {
  const groups = new Map<string, Group>()
  let problem: string | null = null
  let changes: Promise<unknown> = Promise.resolve()
  let pending = 0

  const load = (): void => {
    problem = loadGroups(context, commits, groups)
  }
  const closeAll = (): void => {
    for (const group of groups.values()) group.close()
    groups.clear()
  }
  const advanceAll = (): void => {
    context.tail.onCommit(advanceAll)
    context.guard(() => {
      for (const group of groups.values()) group.advance()
    })
  }
  const ticking = setInterval(() => {
    context.guard(() => {
      for (const group of groups.values()) group.tick()
    })
  }, TICK_MS)

  /** One change after the other: each is written before it counts. */
  const change = async (
    {source, group}: Pick<GroupDefinition, 'source' | 'group'>,
    user: string,
    check: (existing: Group | null) => GroupDefinition | null | ServiceError,
  ): Change => {
    if (pending >= CHANGES_MAX) return groupError('failed', source, group, 'too many changes at once')
    pending++
    const outcome = changes.then(async () => {
      if (problem !== null) return groupError('failed', source, group, problem)
      const key = groupKey(source, group)
      const next = check(groups.get(key) ?? null)
      if (next instanceof Error) return next
      const others = [...groups.values()].filter(other => other.key !== key).map(other => other.definition)
      if (others.length >= GROUPS_MAX) return groupError('failed', source, group, `more than ${GROUPS_MAX} groups`)
      // Opened first: a filter that cannot be read must not be written.
      const opened = next === null ? null : openGroup(context, commits, next)
      const definitions = next === null ? others : [...others, next]
      const isWritten = await saveConfig(context, commits, configData(definitions, context.nowMs(), user))
      if (!isWritten) return groupError('failed', source, group, 'the configuration could not be written')
      groups.get(key)?.close()
      if (opened === null) {
        groups.delete(key)
        forget(commits, key)
      } else {
        groups.set(key, opened)
        opened.advance()
      }
      return null
    })
    changes = outcome.catch(() => null)
    try {
      return await outcome
    } catch (error) {
      if (error instanceof BadMessage) return groupError('failed', source, group, error.message)
      throw error
    } finally {
      pending--
    }
  }
  const valid = (definition: GroupDefinition): GroupDefinition | ServiceError => {
    const reason = definitionProblem(definition, context.store.lastPosition())
    return reason === null ? definition : groupError('failed', definition.source, definition.group, reason)
  }

  load()
  advanceAll()
  return {
    create: (definition, user) =>
      change(definition, user, existing =>
        existing === null ? valid(definition) : groupError('exists', definition.source, definition.group),
      ),
    update: (definition, user) =>
      change(definition, user, existing =>
        existing === null
          ? groupError('does-not-exist', definition.source, definition.group)
          : valid({...definition, filter: existing.definition.filter}),
      ),
    remove: (source, group, user) =>
      change({source, group}, user, existing =>
        existing === null ? groupError('does-not-exist', source, group) : null,
      ),
    find(source, group) {
      const missing = problem === null ? groupError('does-not-exist', source, group) : null
      return groups.get(groupKey(source, group)) ?? missing ?? groupError('failed', source, group, problem ?? '')
    },
    list: () => [...groups.values()],
    restart() {
      closeAll()
      load()
      for (const group of groups.values()) group.advance()
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

function saveConfig({store}: ReadContext, commits: GroupCommit, data: Buffer): Promise<boolean> {
  if (store.state(CONFIG_STREAM).rules.maxCount === undefined) {
    append(commits, metadataStreamOf(CONFIG_STREAM), [metadataEvent({$maxCount: 2})], () => undefined)
  }
  return new Promise(resolve => {
    append(commits, CONFIG_STREAM, [{...jsonEvent(CONFIG_TYPE, null), data}], resolve)
  })
}

/** Soft-deletes what the group kept; there may be nothing. */
function forget(commits: GroupCommit, key: string): void {
  for (const stream of [checkpointStreamOf(key), parkedStreamOf(key)]) {
    commits.enqueue({kind: 'softDelete', stream, expected: 'any'}, Infinity, () => undefined)
  }
}
