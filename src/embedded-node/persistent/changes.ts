/** How groups come, change and go: one change after the other, each written before it counts. */
import type {ServiceError} from '@grpc/grpc-js'

import type {GroupCommit} from '../group-commit.ts'
import {groupError} from '../grpc-errors.ts'
import {BadMessage} from '../protobuf.ts'
import type {ReadContext} from '../read-context.ts'
import {metadataStreamOf} from '../stream-rules.ts'
import {CONFIG_STREAM, CONFIG_TYPE, configData} from './config.ts'
import {type Group, openGroup} from './group.ts'
import {append, checkpointStreamOf, jsonEvent, metadataEvent, parkedStreamOf} from './records.ts'
import {definitionProblem, type GroupDefinition, groupKey, passesAll} from './settings.ts'
import {openSource} from './source.ts'

/** Null when it is done. */
type Outcome = Promise<ServiceError | null>

export interface Changes {
  create(definition: GroupDefinition, user: string): Outcome
  /** The group begins anew from its checkpoint, without its consumers; its filter stays. */
  update(definition: GroupDefinition, user: string): Outcome
  remove(source: string, group: string, user: string): Outcome
}

const GROUPS_MAX = 1000
const WAITING_MAX = 1000

interface Change {
  readonly source: string
  readonly group: string
  readonly user: string
  /** What the group is to be, null when it is to go, or why nothing changes. */
  decide(this: void, existing: Group | null): GroupDefinition | null | ServiceError
}

/** `problem` says why what is configured is not known; nothing may be written over it. */
export function openChanges(
  context: ReadContext,
  commits: GroupCommit,
  groups: Map<string, Group>,
  problem: () => string | null,
): Changes {
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0

  const apply = async ({source, group, user, decide}: Change): Outcome => {
    const failed = (reason: string): ServiceError => groupError('failed', source, group, reason)
    const unknown = problem()
    if (unknown !== null) return failed(unknown)
    const key = groupKey(source, group)
    const next = decide(groups.get(key) ?? null)
    if (next instanceof Error) return next
    const others = [...groups.values()].filter(other => other.key !== key).map(other => other.definition)
    if (others.length >= GROUPS_MAX) return failed(`more than ${GROUPS_MAX} groups`)
    const definitions = next === null ? others : [...others, next]
    // What is written from the request on is live, the event of the configuration itself included.
    const liveFrom = next === null ? 0 : openSource(context, next.source, next.filter).end()
    const isWritten = await saveConfig(context, commits, configData(definitions, context.nowMs(), user))
    if (!isWritten) return failed('the configuration could not be written')
    groups.get(key)?.close()
    groups.delete(key)
    if (next === null) {
      forget(commits, key)
    } else {
      const opened = openGroup(context, commits, next, liveFrom)
      groups.set(key, opened)
      opened.advance()
    }
    return null
  }
  const queue = async (change: Change): Outcome => {
    if (waiting >= WAITING_MAX) return groupError('failed', change.source, change.group, 'too many changes at once')
    waiting++
    const outcome = last.then(() => apply(change))
    last = outcome.catch(() => null)
    return outcome.finally(() => waiting--)
  }
  const checked = (definition: GroupDefinition): GroupDefinition | ServiceError => {
    const reason = definitionProblem(definition, context.store.lastPosition()) ?? filterProblem(definition)
    return reason === null ? definition : groupError('failed', definition.source, definition.group, reason)
  }
  return {
    create(definition, user) {
      const {source, group} = definition
      const decide: Change['decide'] = existing =>
        existing === null ? checked(definition) : groupError('exists', source, group)
      return queue({source, group, user, decide})
    },
    update(definition, user) {
      const {source, group} = definition
      const decide: Change['decide'] = existing =>
        existing === null
          ? groupError('does-not-exist', source, group)
          : checked({...definition, filter: existing.definition.filter})
      return queue({source, group, user, decide})
    },
    remove(source, group, user) {
      const decide: Change['decide'] = existing =>
        existing === null ? groupError('does-not-exist', source, group) : null
      return queue({source, group, user, decide})
    },
  }
}

function filterProblem({filter}: GroupDefinition): string | null {
  try {
    passesAll(filter)
    return null
  } catch (error) {
    if (error instanceof BadMessage) return error.message
    throw error
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
