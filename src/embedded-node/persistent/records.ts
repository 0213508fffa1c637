/** The streams that a group keeps beside the log: its checkpoints and its parked messages. */
import {randomBytes} from 'node:crypto'

import type {GroupCommit} from '../group-commit.ts'
import type {ProposedEvent, WriteOutcome} from '../records.ts'
import type {Store} from '../store.ts'
import {metadataStreamOf} from '../stream-rules.ts'
import {type Message, originalOf} from './message.ts'
import {parsePosition, positionText} from './settings.ts'

export const checkpointStreamOf = (key: string): string => `$persistentsubscription-${key}-checkpoint`
export const parkedStreamOf = (key: string): string => `$persistentsubscription-${key}-parked`

export function jsonEvent(type: string, data: unknown): ProposedEvent {
  return {id: randomBytes(16), type, isJson: true, data: Buffer.from(JSON.stringify(data)), metadata: Buffer.alloc(0)}
}

export const metadataEvent = (data: object): ProposedEvent => jsonEvent('$metadata', data)

type Settle = (isDone: boolean) => void

/** Queues an append whose order is that of the queue. */
export function append(commits: GroupCommit, stream: string, events: readonly ProposedEvent[], settle: Settle): void {
  commits.enqueue({kind: 'append', stream, expected: 'any', events}, Infinity, (outcome: WriteOutcome) =>
    settle(outcome.type === 'done'),
  )
}

const adminsOnly = {$r: '$admins', $w: '$admins', $d: '$admins', $mr: '$admins', $mw: '$admins'}

/** The group is done with everything up to a revision or position; null without a checkpoint. */
export function readCheckpoint(store: Store, source: string, key: string): number | null {
  const stream = checkpointStreamOf(key)
  const {lastRevision, rules} = store.state(stream)
  if (lastRevision < 0 || lastRevision < (rules.truncateBefore ?? 0)) return null
  const [event] = store.readStream(stream, 'backwards', lastRevision, 1)
  if (event === undefined) return null
  const text: unknown = JSON.parse(Buffer.from(event.data).toString('utf8'))
  return parsePosition(source, String(text))
}

/** Tells where the group stands; only the newest two checkpoints are ever shown. */
export function writeCheckpoint(
  store: Store,
  commits: GroupCommit,
  source: string,
  key: string,
  at: number,
  settle: Settle,
): void {
  const stream = checkpointStreamOf(key)
  if (store.state(stream).rules.maxCount === undefined) {
    const metadata = metadataEvent({$maxCount: 2, $acl: {...adminsOnly, $mr: '$all'}})
    append(commits, metadataStreamOf(stream), [metadata], () => undefined)
  }
  append(commits, stream, [jsonEvent('$SubscriptionCheckpoint', positionText(source, at))], settle)
}

/** Sets a message aside as a link to its event, with the reason. */
export function park(
  commits: GroupCommit,
  key: string,
  message: Message,
  reason: string,
  nowMs: number,
  settle: Settle,
): void {
  const original = originalOf(message)
  const {event} = message
  const data = event === null ? original.data : Buffer.from(`${event.revision}@${event.stream}`)
  const metadata = {added: new Date(nowMs).toISOString(), reason, subscriptionEventNumber: original.revision}
  const link = {id: randomBytes(16), type: '$>', isJson: false, data, metadata: Buffer.from(JSON.stringify(metadata))}
  append(commits, parkedStreamOf(key), [link], settle)
}

/** The revisions of the parked messages: from `first` up to, without, `end`. */
export function parkedRange(store: Store, key: string): {readonly first: number; readonly end: number} {
  const {lastRevision, rules} = store.state(parkedStreamOf(key))
  const end = lastRevision + 1
  return {first: Math.min(rules.truncateBefore ?? 0, end), end}
}

/** Hides the parked messages before a revision. */
export function unpark(commits: GroupCommit, key: string, before: number, settle: Settle): void {
  const metadata = metadataEvent({$tb: before, $acl: adminsOnly})
  append(commits, metadataStreamOf(parkedStreamOf(key)), [metadata], settle)
}
