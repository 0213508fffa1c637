import {readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {describe, expect, test} from 'vitest'
import {z} from 'zod'
import {allEventTypes} from '../../src/event-types.ts'
import type {RecordedEvent} from '../../src/event-store/port.ts'
import {createRegistry, UnreadableEvent} from '../../src/event-store/registry.ts'
import type {EventMetadata} from '../../src/kernel/messages.ts'
import {at} from '../support/given.ts'

const folder = join(import.meta.dirname, '../fixtures/events')
const files = readdirSync(folder).sort()
const all = createRegistry(...allEventTypes)

function fixture(file: string): RecordedEvent & {readonly metadata: EventMetadata} {
  const json = JSON.parse(readFileSync(join(folder, file), 'utf8'))
  const {revision, position} = json as {revision: string; position: {commit: string; prepare: string}}
  const [commit, prepare] = [BigInt(position.commit), BigInt(position.prepare)]
  return {...json, revision: BigInt(revision), position: {commit, prepare}}
}

describe('the recorded events of every version', () => {
  test('are there for every declared type and version, and for nothing else', () => {
    const declared = all.types.flatMap(type =>
      Array.from({length: all.versionOf(type)}, (_, index) => `${type}.v${index + 1}.json`),
    )
    expect(files).toEqual(declared.sort())
  })

  test.each(files)('%s is what its name says', file => {
    const {type, metadata, stream} = fixture(file)
    expect(`${type}.v${metadata.version}.json`).toBe(file)
    expect(stream).toMatch(/^[a-z]+-/)
  })

  test.each(files)('%s is still read', file => {
    const recorded = fixture(file)
    const read = all.fromStored(recorded)
    expect(read).toMatchObject({id: recorded.id, stream: recorded.stream, revision: recorded.revision})
    expect(read.event.type).toBe(recorded.type)
    expect(read.metadata).toEqual(recorded.metadata)
    // Whatever it was once, it can be stored today; what is of today is read as it was written.
    const {version, ...metadata} = recorded.metadata
    const again = all.toStored(read.event, recorded.id, metadata)
    expect(again.metadata).toEqual({...metadata, version: all.versionOf(recorded.type)})
    if (version === all.versionOf(recorded.type)) expect(read.event.data).toEqual(recorded.data)
  })

  test.each(files)('%s is not read with a field missing or of another kind', file => {
    const recorded = fixture(file)
    const data = recorded.data as Record<string, unknown>
    for (const field of Object.keys(data)) {
      const {[field]: _gone, ...rest} = data
      expect(() => all.fromStored({...recorded, data: rest})).toThrow(UnreadableEvent)
      expect(() => all.fromStored({...recorded, data: {...rest, [field]: {unlike: 'anything'}}})).toThrow(
        UnreadableEvent,
      )
    }
  })
})

/** A type that was changed twice: `hours` became minutes, then a note was added. */
const changed = createRegistry({
  Walked: {
    schema: z.object({minutes: z.int(), note: z.string()}),
    upcasts: [
      data => ({minutes: (data as {hours: number}).hours * 60}),
      data => ({...(data as {minutes: number}), note: 'none'}),
    ],
  },
})

function recorded(type: string, data: unknown, metadata: unknown = {version: 1}): RecordedEvent {
  const actor = {type: 'process', name: 'test'}
  const usual = {$correlationId: 'c', $causationId: 'c', actor, at: at('10:00')}
  const position = {commit: 7n, prepare: 6n}
  const whole = typeof metadata === 'object' && metadata !== null ? {...usual, version: 1, ...metadata} : metadata
  return {id: 'i', type, stream: 'walk-1', revision: 3n, position, recordedAtMs: 0, data, metadata: whole}
}

describe('reading', () => {
  test.each([
    [1, {hours: 2}, {minutes: 120, note: 'none'}],
    [2, {minutes: 90}, {minutes: 90, note: 'none'}],
    [3, {minutes: 90, note: 'sunny'}, {minutes: 90, note: 'sunny'}],
  ])('lifts version %d to the shape of today', (version, data, today) => {
    expect(changed.fromStored(recorded('Walked', data, {version})).event).toEqual({type: 'Walked', data: today})
  })

  test('tells where the event is', () => {
    const {stream, revision, commit, prepare} = changed.fromStored(recorded('Walked', {hours: 1}))
    expect({stream, revision, commit, prepare}).toEqual({stream: 'walk-1', revision: 3n, commit: 7n, prepare: 6n})
  })

  test.each<[string, RecordedEvent, RegExp]>([
    ['an unknown type', recorded('Flew', {}), /Flew 3@walk-1: its type is unknown/],
    ['a type every object knows', recorded('constructor', {}), /type is unknown/],
    ['a version from the future', recorded('Walked', {}, {version: 4}), /version 4 is newer/],
    ['version 0', recorded('Walked', {}, {version: 0}), /metadata does not fit \(version\)/],
    ['data that does not fit', recorded('Walked', {minutes: 'x', note: 1}, {version: 3}), /\(minutes, note\)/],
    ['old data that does not fit its version', recorded('Walked', null), /does not fit version 1/],
    ['old data that is lifted to nonsense', recorded('Walked', {hours: 'x'}), /minutes/],
    ['no data', recorded('Walked', undefined, {version: 3}), /data does not fit \(data\)/],
    ['no metadata', recorded('Walked', {}, null), /metadata does not fit \(metadata\)/],
    ['an actor of no kind', recorded('Walked', {}, {version: 1, actor: {type: 'ghost'}}), /actor/],
    ['a moment that is none', recorded('Walked', {}, {at: '2026-13-41T25:61:61.000Z'}), /\(at\)/],
  ])('stops at %s', (_what, event, why) => {
    expect(() => changed.fromStored(event)).toThrow(UnreadableEvent)
    expect(() => changed.fromStored(event)).toThrow(why)
  })

  test('tells no value of what it could not read', () => {
    const read = (): unknown => changed.fromStored(recorded('Walked', {minutes: 'hunter2'}, {version: 3}))
    expect(read).toThrow(/\(minutes, note\)/)
    expect(read).not.toThrow(/hunter2/)
  })
})

test.each([
  ['HoursGranted', {effectiveAt: '2026-11-21 10:00:00'}],
  ['HoursGranted', {effectiveAt: '2026-11-21T10:00:00.000+00:00'}],
  ['HoursGranted', {minutes: -1}],
  ['HoursGranted', {minutes: 0.5}],
  ['HoursGranted', {grantId: ''}],
  ['PaymentReceived', {amount: {amountMinor: -1, currency: 'EUR'}}],
  ['PaymentReceived', {amount: {amountMinor: 1, currency: 'eur'}}],
  ['SlotAllocated', {interval: {start: at('10:00'), end: at('10:00')}}],
  ['RolesChanged', {roles: ['emperor']}],
  ['DiscountSet', {percent: 101}],
])('does not read %s with %j', (type, change) => {
  const event = fixture(`${type}.v1.json`)
  const data = {...(event.data as Record<string, unknown>), ...change}
  expect(() => all.fromStored({...event, data})).toThrow(UnreadableEvent)
})

describe('writing', () => {
  const metadata = {
    $correlationId: 'c',
    $causationId: 'c',
    actor: {type: 'process', name: 'x'} as const,
    at: at('10:00'),
  }

  test('adds the version of today', () => {
    const stored = changed.toStored({type: 'Walked', data: {minutes: 1, note: ''}}, 'i', metadata)
    expect(stored).toEqual({
      id: 'i',
      type: 'Walked',
      data: {minutes: 1, note: ''},
      metadata: {...metadata, version: 3},
    })
  })

  test('leaves out what is not declared', () => {
    const data = {minutes: 1, note: '', password: 'hunter2'}
    expect(changed.toStored({type: 'Walked', data}, 'i', metadata).data).toEqual({minutes: 1, note: ''})
  })

  test.each([{minutes: 1.5, note: ''}, {minutes: NaN, note: ''}, {note: ''}, null])(
    'refuses what could not be read again: %j',
    data => {
      expect(() => changed.toStored({type: 'Walked', data}, 'i', metadata)).toThrow(TypeError)
    },
  )

  test('refuses a type that is not declared', () => {
    expect(() => changed.toStored({type: 'Flew', data: {}}, 'i', metadata)).toThrow(TypeError)
  })
})

test('two slices cannot declare one type', () => {
  const walked = {Walked: {schema: z.object({})}}
  expect(() => createRegistry(walked, walked)).toThrow('two slices declare the event type Walked')
})
