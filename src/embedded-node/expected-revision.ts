/**
 * Whether a write may happen: EventStoreDB's rules of expected revisions and of repeats (read in its BSD-licensed
 * sources, tag oss-v24.6.0). A repeat is known by its event ids and gets the original answer.
 */
import type {Place} from './recent-ids.ts'
import {type AppendWrite, type DeleteWrite, type ProposedEvent, TOMBSTONE_REVISION} from './records.ts'
import {isSoftDeleted, type StreamRules} from './stream-rules.ts'

export type WriteVerdict =
  | {readonly type: 'write'}
  | {readonly type: 'repeat'; readonly revision: number; readonly position: number}
  | {readonly type: 'wrongRevision'; readonly actual: number | null}
  | {readonly type: 'streamDeleted'}

export interface StreamFacts {
  readonly lastRevision: number
  readonly rules: StreamRules
}

export interface AppendFacts extends StreamFacts {
  hasMetadata(): boolean
  recent(id: Uint8Array): Place | null
  idAt(revision: number): {readonly id: Uint8Array; readonly position: number} | null
}

export function decideAppend(write: AppendWrite, facts: AppendFacts): WriteVerdict {
  const {lastRevision} = facts
  if (lastRevision === TOMBSTONE_REVISION) return {type: 'streamDeleted'}
  const wrong = wrongRevision(facts)
  switch (write.expected) {
    case 'streamExists':
      if (isSoftDeleted(facts.rules)) return {type: 'streamDeleted'}
      if (lastRevision < 0 && !facts.hasMetadata()) return wrong
      return decideByRecentIds(write, facts)
    case 'any':
      return decideByRecentIds(write, facts)
    case 'noStream':
    default: {
      const expected = write.expected === 'noStream' ? -1 : write.expected
      if (expected === lastRevision) return {type: 'write'}
      if (expected > lastRevision) return wrong
      const undeletes = write.expected === 'noStream' && isSoftDeleted(facts.rules)
      return decideByStoredIds(write.events, expected, facts) ?? (undeletes ? {type: 'write'} : wrong)
    }
  }
}

const wrongRevision = (facts: StreamFacts): WriteVerdict => ({
  type: 'wrongRevision',
  actual: facts.lastRevision < 0 ? null : facts.lastRevision,
})

function decideByRecentIds(write: AppendWrite, facts: AppendFacts): WriteVerdict {
  let last: Place | null = null
  for (const [index, event] of write.events.entries()) {
    const place = facts.recent(event.id)
    if (place === null || place.stream !== write.stream) return index === 0 ? {type: 'write'} : wrongRevision(facts)
    last = place
  }
  return last === null ? {type: 'write'} : {type: 'repeat', revision: last.revision, position: last.position}
}

/** A repeat, a wrong version when only a part is the same, null when not even the first event is. */
function decideByStoredIds(
  events: readonly ProposedEvent[],
  expected: number,
  facts: AppendFacts,
): WriteVerdict | null {
  let position = 0
  for (const [index, event] of events.entries()) {
    const stored = facts.idAt(expected + 1 + index)
    if (stored === null || Buffer.compare(stored.id, event.id) !== 0) return index === 0 ? null : wrongRevision(facts)
    position = stored.position
  }
  return events.length === 0 ? null : {type: 'repeat', revision: expected + events.length, position}
}

/** Soft-deleting what was never there is a wrong version, tombstoning it is not; nor is deleting again. */
export function decideDelete(
  {kind, expected}: DeleteWrite,
  facts: StreamFacts,
  hasMetadata: () => boolean,
): WriteVerdict {
  const {lastRevision} = facts
  if (lastRevision === TOMBSTONE_REVISION) return {type: 'streamDeleted'}
  if (expected === 'streamExists' && isSoftDeleted(facts.rules)) return {type: 'streamDeleted'}
  const matches =
    expected === 'any' || expected === 'streamExists' || (expected === 'noStream' ? -1 : expected) === lastRevision
  if (!matches) return wrongRevision(facts)
  const mustExist = kind === 'softDelete' || expected === 'streamExists'
  return mustExist && lastRevision < 0 && !hasMetadata() ? wrongRevision(facts) : {type: 'write'}
}
