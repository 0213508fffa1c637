import {describe, expect, test} from 'vitest'
import {account, availableMinutes, type AccountCommand} from '../../src/account/decider.ts'
import type {AccountEvent} from '../../src/account/events.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {lookUp} from '../../src/kernel/persistent-map.ts'
import {at, given, termsOf} from '../support/given.ts'

type DataOf<Type extends AccountEvent['type']> = Extract<AccountEvent, {type: Type}>['data']

const now = at('10:00')
const source = {type: 'operator', reason: 'welcome'} as const
const terms = termsOf({start: at('12:00'), end: at('14:00')})
const bookingId = idOf<'Booking'>('booking-1')

function granted(grantId: string, minutes: number, more: Partial<DataOf<'HoursGranted'>> = {}): AccountEvent {
  const data = {
    grantId: idOf<'Grant'>(grantId),
    minutes,
    source,
    priority: 0,
    effectiveAt: at('08:00'),
    expiresAt: null,
  }
  return {type: 'HoursGranted', data: {...data, ...more}}
}

function draw(grantId: string, minutes: number): {grantId: ReturnType<typeof idOf<'Grant'>>; minutes: number} {
  return {grantId: idOf<'Grant'>(grantId), minutes}
}

function held(...draws: readonly ReturnType<typeof draw>[]): AccountEvent {
  return {type: 'HoursHeld', data: {bookingId, minutes: 120, draws: [...draws], terms}}
}

const grantHours: AccountCommand = {
  type: 'GrantHours',
  grantId: idOf('g1'),
  minutes: 600,
  source,
  priority: 0,
  effectiveAt: null,
  expiresAt: at('10:00', 5),
}
const holdHours: AccountCommand = {type: 'HoldHours', bookingId, terms}

describe('granting hours', () => {
  test('takes effect now when no other time is given', () => {
    given(account)
      .when(grantHours, now)
      .thenEvents(granted('g1', 600, {effectiveAt: now, expiresAt: at('10:00', 5)}))
  })

  test('takes effect at the time that is given', () => {
    const command = {...grantHours, effectiveAt: at('10:00', 1)}
    const event = granted('g1', 600, {effectiveAt: at('10:00', 1), expiresAt: at('10:00', 5)})
    given(account).when(command, now).thenEvents(event)
  })

  test('repeated later is quiet', () => {
    const before = granted('g1', 600, {effectiveAt: now, expiresAt: at('10:00', 5)})
    given(account, before).when(grantHours, at('11:00')).thenNothing()
  })

  test.each<Partial<typeof grantHours>>([
    {minutes: 601},
    {priority: 1},
    {expiresAt: null},
    {effectiveAt: at('09:00')},
    {source: {type: 'operator', reason: 'another'}},
  ])('under the id of another grant is refused: %j', change => {
    const before = granted('g1', 600, {effectiveAt: now, expiresAt: at('10:00', 5)})
    given(account, before)
      .when({...grantHours, ...change}, at('11:00'))
      .thenRefused({type: 'CommandIdReused'})
  })

  test('that are over already expires them at once', () => {
    given(account)
      .when({...grantHours, expiresAt: at('09:00')}, now)
      .thenEvents(granted('g1', 600, {effectiveAt: now, expiresAt: at('09:00')}), {
        type: 'HoursExpired',
        data: {grantId: idOf('g1'), minutes: 600},
      })
  })
})

describe('holding hours', () => {
  test('sets them aside with the terms agreed on', () => {
    given(account, granted('g1', 120))
      .when(holdHours, now)
      .thenEvents(held(draw('g1', 120)))
  })

  test('is refused when one minute is missing', () => {
    given(account, granted('g1', 119))
      .when(holdHours, now)
      .thenRefused({type: 'InsufficientHours', availableMinutes: 119, neededMinutes: 120})
  })

  test('does not count minutes that are held already', () => {
    const other: AccountCommand = {...holdHours, bookingId: idOf('booking-2')}
    given(account, granted('g1', 150), held(draw('g1', 120)))
      .when(other, now)
      .thenRefused({type: 'InsufficientHours', availableMinutes: 30, neededMinutes: 120})
  })

  test('does not count a grant before it takes effect or once it has expired', () => {
    given(
      account,
      granted('later', 600, {effectiveAt: at('10:00:00.001')}),
      granted('over', 600, {expiresAt: now}),
      granted('now', 60, {effectiveAt: now, expiresAt: at('10:00:00.001')}),
    )
      .when(holdHours, now)
      .thenRefused({type: 'InsufficientHours', availableMinutes: 60, neededMinutes: 120})
  })

  test('draws by priority, then what expires first, then what came first', () => {
    given(
      account,
      granted('unlimited', 25),
      granted('old', 20, {effectiveAt: at('07:00')}),
      granted('expires-late', 30, {expiresAt: at('10:00', 2)}),
      granted('expires-soon', 40, {expiresAt: at('10:00', 1)}),
      granted('first', 10, {priority: -1, effectiveAt: at('09:00')}),
    )
      .when(holdHours, now)
      .thenEvents(
        held(
          draw('first', 10),
          draw('expires-soon', 40),
          draw('expires-late', 30),
          draw('old', 20),
          draw('unlimited', 20),
        ),
      )
  })

  test('expires what is over by then', () => {
    given(account, granted('over', 50, {expiresAt: now}), granted('g1', 120))
      .when(holdHours, now)
      .thenEvents(held(draw('g1', 120)), {type: 'HoursExpired', data: {grantId: idOf('over'), minutes: 50}})
  })

  test('repeated with the same wish is quiet, at another price too', () => {
    const price = {...terms.price, discountPercent: 10}
    given(account, granted('g1', 500), held(draw('g1', 120)))
      .when({...holdHours, terms: {...terms, price}}, now)
      .thenNothing()
  })

  test('repeated with another wish is refused', () => {
    const other = termsOf({start: at('13:00'), end: at('15:00')})
    given(account, granted('g1', 500), held(draw('g1', 120)))
      .when({...holdHours, terms: other}, now)
      .thenRefused({type: 'CommandIdReused'})
  })

  test('repeated after its end is quiet with the same wish and refused with another', () => {
    const release: AccountEvent = {
      type: 'HoursReleased',
      data: {bookingId, minutes: 120, draws: [draw('g1', 120)], reason: {type: 'cancelled'}},
    }
    const ended = given(account, granted('g1', 500), held(draw('g1', 120)), release)
    ended.when(holdHours, now).thenNothing()
    ended
      .when({...holdHours, terms: termsOf({start: at('12:00'), end: at('13:00')})}, now)
      .thenRefused({type: 'CommandIdReused'})
  })
})

describe('releasing a hold', () => {
  const refusal = {type: 'SlotTaken', until: at('15:00')}
  const release: AccountCommand = {type: 'ReleaseHold', bookingId, reason: {type: 'refused', refusal}}
  const open = [granted('g1', 100), granted('g2', 100), held(draw('g1', 100), draw('g2', 20))]
  const released: AccountEvent = {
    type: 'HoursReleased',
    data: {bookingId, minutes: 120, draws: [draw('g1', 100), draw('g2', 20)], reason: {type: 'refused', refusal}},
  }

  test('gives every minute back to the grant it came from', () => {
    given(account, ...open)
      .when(release, now)
      .thenEvents(released)
    expect(availableMinutes(given(account, ...open, released).state, now)).toBe(200)
  })

  test('keeps the refusal for a repeat of the booking', () => {
    const {state} = given(account, ...open, released)
    expect(lookUp(state.ended, bookingId)?.refusal).toEqual(refusal)
  })

  test('repeated is quiet', () => {
    given(account, ...open, released)
      .when(release, now)
      .thenNothing()
  })

  test('that never was is refused', () => {
    given(account).when(release, now).thenRefused({type: 'NoSuchHold', bookingId})
  })

  test('expires what went back to a grant that is over', () => {
    given(account, granted('g1', 120, {expiresAt: at('11:00')}), held(draw('g1', 120)))
      .when(release, at('11:00'))
      .thenEvents(
        {...released, data: {...released.data, draws: [draw('g1', 120)]}},
        {type: 'HoursExpired', data: {grantId: idOf('g1'), minutes: 120}},
      )
  })
})
