import {describe, expect, test} from 'vitest'
import type {RecordedEvent} from '../../src/event-store/port.ts'
import {createRegistry} from '../../src/event-store/registry.ts'
import {allEventTypes} from '../../src/event-types.ts'
import {msOf, plusMs, type Instant} from '../../src/kernel/time.ts'
import {createVerifier, type Violation} from '../../src/verify/verifier.ts'
import {at, termsOf} from '../support/given.ts'

type Given = Partial<RecordedEvent> & {readonly type: string}

const metadata = {$correlationId: 'c', $causationId: 'c', actor: {type: 'process', name: 'test'}, version: 1}

/** The violations in a log of these events: what is not said of one follows from those before it. */
function violationsIn(...given: readonly Given[]): readonly string[] {
  const found: Violation[] = []
  const verifier = createVerifier(createRegistry(...allEventTypes), violation => found.push(violation))
  const next = new Map<string, bigint>()
  for (const [index, {type, stream = 'lease-engine', ...more}] of given.entries()) {
    const revision = more.revision ?? next.get(stream) ?? 0n
    next.set(stream, revision + 1n)
    const commit = BigInt(index * 10)
    const recordedAtMs = more.recordedAtMs ?? msOf(at('09:00'))
    const id = more.id ?? `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`
    const data = more.data ?? {holder: 'a', epoch: 1, at: at('09:00')}
    const full = {id, type, stream, revision, position: {commit, prepare: commit}, recordedAtMs, data}
    verifier.see({...full, metadata: more.metadata ?? {...metadata, at: at('09:00')}})
  }
  verifier.end()
  return found.map(({stream, revision, position, what}) => `${stream} ${revision}@${position}: ${what}`)
}

describe('finds', () => {
  test('an id that is in the log twice', () => {
    const id = '11111111-1111-4111-8111-111111111111'
    expect(violationsIn({type: 'LeaseTaken', id}, {type: 'LeaseRenewed', id})).toEqual([
      `lease-engine 1@10: its id ${id} is in the log twice`,
    ])
  })

  test('revisions that are missing, at the start of a stream and in it', () => {
    const gaps = violationsIn({type: 'LeaseTaken', revision: 2n}, {type: 'LeaseRenewed', revision: 5n})
    expect(gaps).toEqual([
      'lease-engine 2@0: revisions 0 to 1 are missing',
      'lease-engine 5@10: revisions 3 to 4 are missing',
    ])
  })

  test('an event that cannot be read: of an unknown type, and of the wrong shape', () => {
    const found = violationsIn({type: 'NeverHeardOf'}, {type: 'LeaseTaken', data: {holder: 7}})
    expect(found).toHaveLength(2)
    expect(found[0]).toMatch(/^lease-engine 0@0: cannot read NeverHeardOf/)
    expect(found[1]).toMatch(/^lease-engine 1@10: cannot read LeaseTaken/)
  })

  test('two allocations of one machine that overlap by a buffer', () => {
    const found = violationsIn(allocated('one', '10:00', '11:00'), allocated('two', '11:05', '12:00'))
    expect(found.filter(text => text.includes('overlap'))).toEqual([
      'calendar-pool-1 1@10: slots of one and two overlap on m-1',
    ])
  })

  test('hours drawn from a grant that has no more', () => {
    const found = violationsIn(granted(30), held('one', 60, at('09:00')))
    expect(found[0]).toBe('account-ann 1@10: account-ann: 30 <> -30 + 60 + 0 + 0')
  })

  test('a hold that is still open after a minute in which the engine was at work', () => {
    const found = violationsIn(
      {type: 'LeaseTaken'},
      granted(60),
      held('one', 60, at('09:00')),
      {type: 'LeaseRenewed', recordedAtMs: msOf(at('09:00:50'))},
      {type: 'LeaseRenewed', recordedAtMs: msOf(at('09:01:40'))},
    )
    expect(found).toEqual(['lease-engine 2@40: one is still held with its hold'])
  })
})

describe('allows', () => {
  test('gaps of a stream that has a limit, or was deleted, told before or after', () => {
    const limit = {type: '$metadata', stream: '$$lease-engine', data: {$maxCount: 3}, metadata: {}}
    expect(violationsIn({type: 'LeaseTaken', revision: 7n}, limit)).toEqual([])
    expect(violationsIn({type: '$streamDeleted', data: {}}, {type: 'LeaseTaken', revision: 7n})).toEqual([])
  })

  test('a hold left open while the program was away, until it had a minute to finish it', () => {
    const morning = [{type: 'LeaseTaken'}, granted(60), held('one', 60, at('09:00'))]
    const after = (time: string): Given => ({type: 'LeaseTaken', recordedAtMs: msOf(at(time))})
    expect(violationsIn(...morning, after('12:00'))).toEqual([])
  })

  test('a copied store, whose events are all of one moment: what counts is when they were first recorded', () => {
    const copied = (event: Given, created: Instant): Given => ({
      ...event,
      recordedAtMs: msOf(at('20:00')),
      metadata: {...metadata, at: created, $copy: {created, position: '1'}},
    })
    const late = plusMs(at('09:00'), 100_000)
    const events = [{type: 'LeaseTaken'}, granted(60), held('one', 60, at('09:00'))].map(event =>
      copied(event, at('09:00')),
    )
    const renewals = [plusMs(at('09:00'), 50_000), late].map(time => copied({type: 'LeaseRenewed'}, time))
    expect(violationsIn(...events, ...renewals)).toEqual(['lease-engine 2@40: one is still held with its hold'])
  })
})

function allocated(bookingId: string, start: string, end: string): Given {
  const interval = {start: at(start), end: at(end)}
  const whose = {bookingId, userId: bookingId, machineId: 'm-1', serviceId: 'service-a'}
  const data = {...whose, interval, warmUpMinutes: 5, turnaroundMinutes: 5, at: at('09:00')}
  return {type: 'SlotAllocated', stream: 'calendar-pool-1', data}
}

function granted(minutes: number): Given {
  const source = {type: 'operator', reason: 'test'}
  const data = {grantId: 'g', minutes, source, priority: 1, effectiveAt: at('08:00'), expiresAt: null}
  return {type: 'HoursGranted', stream: 'account-ann', data}
}

function held(bookingId: string, minutes: number, when: Instant): Given {
  const terms = termsOf({start: at('10:00'), end: at('11:00')})
  const data = {bookingId, minutes, draws: [{grantId: 'g', minutes}], terms}
  return {type: 'HoursHeld', stream: 'account-ann', data, recordedAtMs: msOf(when)}
}
