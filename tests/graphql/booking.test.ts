import {randomUUID} from 'node:crypto'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {parseInstant, plusMinutes} from '../../src/kernel/time.ts'
import {startEngine, type TestEngine, type TestUser} from '../support/engine.ts'
import {ask, book, faultOf, mutate} from './support.ts'

const instant = (text: string) => {
  const parsed = parseInstant(text)
  if (parsed === null) throw new Error(`no time: ${text}`)
  return parsed
}

/** Each test books on a day of its own, so that none is in another's way. */
const day = (number: number, time: string) => `2026-12-${String(number).padStart(2, '0')}T${time}:00.000Z`

describe('booking over GraphQL', () => {
  let engine: TestEngine
  let ann: TestUser
  let ben: TestUser
  let operator: TestUser

  beforeAll(async () => {
    engine = await startEngine({machines: 1})
    ann = await engine.addUser('Ann')
    ben = await engine.addUser('Ben')
    operator = await engine.addUser('Otto', ['operator'])
    await engine.grant(ann, 6000)
    await engine.grant(ben, 6000)
  })
  afterAll(() => engine.stop())

  const cancel = (bookingId: string, as: TestUser, idempotencyKey: string = randomUUID()) =>
    mutate(
      engine,
      'cancelBooking',
      {bookingId, idempotencyKey},
      as,
      '... on CancelBookingSuccess { booking { id status usedMinutes } } ... on AlreadyEnded { status }',
    )
  const balance = async (as: TestUser) => {
    const {body} = await ask(engine, '{ viewer { balance { availableMinutes heldMinutes } } }', {as})
    return body.data.viewer.balance
  }

  test('B1: a start in the past is refused, naming the field', async () => {
    expect(await book(engine, ann, {start: '2026-11-21T09:00:00Z'})).toEqual({
      __typename: 'StartInPast',
      code: 'START_IN_PAST',
      message: 'The start lies in the past.',
      field: 'start',
    })
  })

  test.each([[0], [-1], [-60], [61], [780]])('B3: %i minutes are refused, naming the field', async minutes => {
    const fields = '... on LengthNotAllowed { minutesMin minutesMax stepMinutes }'
    expect(await book(engine, ann, {start: day(1, '12:00'), minutes}, fields)).toMatchObject({
      __typename: 'LengthNotAllowed',
      field: 'minutes',
      minutesMin: 60,
      minutesMax: 720,
      stepMinutes: 60,
    })
  })

  test('B3: 10^9 hours are refused, naming the field', async () => {
    const query = 'mutation ($input: BookInput!) { book(input: $input) { __typename } }'
    const input = {idempotencyKey: 'k', serviceId: 'ench', realmId: 'EU', start: day(1, '12:00'), minutes: 6e10}
    expect(faultOf(await ask(engine, query, {as: ann, variables: {input}}))).toMatchObject({
      status: 400,
      code: 'BAD_INPUT',
      field: 'minutes',
    })
  })

  test('a start between minutes, beyond the horizon or of an unknown service or realm is refused', async () => {
    const refused = async (input: object, fields = '') => (await book(engine, ann, {...input}, fields)).__typename
    expect(await refused({start: '2026-12-01T12:00:30Z'})).toBe('StartNotOnMinute')
    expect(await refused({start: '2027-06-01T12:00:00Z'}, '... on OutsideHorizon { latest }')).toBe('OutsideHorizon')
    expect(await refused({start: '9999-12-31T23:59:00Z'})).toBe('OutsideHorizon')
    expect(await refused({start: day(1, '12:00'), serviceId: 'nope'})).toBe('UnknownService')
    expect(await refused({start: day(1, '12:00'), realmId: 'Realm:nope'})).toBe('UnknownRealm')
  })

  test('B4: an overlap by one minute is refused, telling from when on it is free; touching ends are not', async () => {
    const first = await book(engine, ann, {start: day(2, '12:00')})
    expect(first.__typename).toBe('BookSuccess')
    const fields = '... on SlotTaken { until }'
    expect(await book(engine, ben, {start: day(2, '12:59')}, fields)).toMatchObject({
      __typename: 'SlotTaken',
      code: 'SLOT_TAKEN',
      until: day(2, '13:10'),
    })
    expect((await book(engine, ann, {start: day(2, '12:59')})).__typename).toBe('SlotTaken')
    expect((await book(engine, ann, {start: day(2, '13:00')})).__typename).toBe('BookSuccess')
    expect((await book(engine, ben, {start: day(2, '14:10')})).__typename).toBe('BookSuccess')
  })

  test('B5: of 200 in parallel for one slot exactly one succeeds', async () => {
    const answers = await Promise.all(
      Array.from({length: 200}, (_, i) => book(engine, i % 2 === 0 ? ann : ben, {start: day(3, '12:00')})),
    )
    const types = answers.map(({__typename}) => __typename)
    expect(types.filter(type => type === 'BookSuccess').length).toBe(1)
    expect(types.filter(type => type === 'SlotTaken').length).toBe(199)
  })

  test('B6: of 25 in parallel for the last hour exactly one succeeds', async () => {
    const cyd = await engine.addUser('Cyd')
    await engine.grant(cyd, 60)
    const answers = await Promise.all(
      Array.from({length: 25}, (_, i) =>
        book(engine, cyd, {start: day(4 + i, '02:00')}, '... on InsufficientHours { availableMinutes neededMinutes }'),
      ),
    )
    const refused = answers.filter(({__typename}) => __typename === 'InsufficientHours')
    expect(answers.length - refused.length).toBe(1)
    expect(refused[0]).toMatchObject({code: 'INSUFFICIENT_HOURS', availableMinutes: 0, neededMinutes: 60})
    await engine.settled()
    expect(await balance(cyd)).toEqual({availableMinutes: 0, heldMinutes: 60})
  })

  test('B7: cancelled twice and in parallel, the minutes are released once', async () => {
    const dan = await engine.addUser('Dan')
    await engine.grant(dan, 60)
    const {booking} = await book(engine, dan, {start: day(5, '12:00')})
    const answers = await Promise.all([cancel(booking.id, dan), cancel(booking.id, dan), cancel(booking.id, dan)])
    expect(answers.filter(({__typename}) => __typename === 'CancelBookingSuccess').length).toBe(1)
    expect(answers.filter(({__typename}) => __typename === 'AlreadyEnded').length).toBe(2)
    expect(answers.find(({__typename}) => __typename === 'AlreadyEnded')).toMatchObject({status: 'CANCELLED'})
    expect((await cancel(booking.id, dan)).__typename).toBe('AlreadyEnded')
    await expect.poll(() => balance(dan), {timeout: 20_000}).toEqual({availableMinutes: 60, heldMinutes: 0})
  })

  test('B9: the same key with the same body gets the same answer, at once and later', async () => {
    const input = {start: day(6, '12:00'), idempotencyKey: 'ann-6'}
    const answers = await Promise.all([book(engine, ann, input), book(engine, ann, input), book(engine, ann, input)])
    const ids = new Set(answers.map(({booking}) => booking.id))
    expect([ids.size, (await book(engine, ann, input)).booking.id]).toEqual([1, [...ids][0]])
    const started = engine.clock.now()
    engine.clock.set(instant(day(6, '15:00')))
    expect((await book(engine, ann, input)).booking.id).toBe([...ids][0])
    engine.clock.set(started)
  })

  test('B9: a refusal is repeated as well', async () => {
    await book(engine, ann, {start: day(7, '12:00')})
    const input = {start: day(7, '12:00'), idempotencyKey: 'ben-7'}
    const first = await book(engine, ben, input)
    expect([first, await book(engine, ben, input)]).toEqual([first, first])
    expect(first.__typename).toBe('SlotTaken')
  })

  test('B10: the same key with another body is refused', async () => {
    await book(engine, ann, {start: day(8, '12:00'), idempotencyKey: 'ann-8'})
    expect(await book(engine, ann, {start: day(8, '16:00'), idempotencyKey: 'ann-8'})).toEqual({
      __typename: 'IdempotencyKeyReused',
      code: 'IDEMPOTENCY_KEY_REUSED',
      message: 'This idempotencyKey was used for something else. Use a new one for each new wish.',
      field: 'idempotencyKey',
    })
  })

  test('one key of two customers is two keys', async () => {
    const mine = await book(engine, ann, {start: day(9, '12:00'), idempotencyKey: 'shared'})
    const theirs = await book(engine, ben, {start: day(9, '16:00'), idempotencyKey: 'shared'})
    expect([mine.__typename, theirs.__typename]).toEqual(['BookSuccess', 'BookSuccess'])
    expect(mine.booking.id).not.toBe(theirs.booking.id)
  })

  test('B12: a wall time in a DST gap is refused with both choices', async () => {
    // Clocks in Berlin go from 02:00 to 03:00 on 28 March 2027.
    const spring = await startEngine({now: '2027-03-20T10:00:00.000Z'})
    const eve = await spring.addUser('Eve')
    await spring.grant(eve, 600)
    const fields = '... on NonexistentWallTime { candidates } ... on BookSuccess { booking { start zone } }'
    const wallTime = {time: '2027-03-28T02:30', zone: 'Europe/Berlin'}
    const refused = await book(spring, eve, {wallTime}, fields)
    expect(refused).toMatchObject({
      __typename: 'NonexistentWallTime',
      code: 'NONEXISTENT_WALL_TIME',
      field: 'wallTime',
      candidates: ['2027-03-28T00:30:00.000Z', '2027-03-28T01:30:00.000Z'],
    })
    const chosen = await book(spring, eve, {start: refused.candidates[1]}, fields)
    expect(chosen.booking).toEqual({start: '2027-03-28T01:30:00.000Z', zone: null})
    await spring.stop()
  })

  test('B13: a wall time in a DST overlap asks which of the two is meant', async () => {
    const autumn = await startEngine({now: '2026-10-20T10:00:00.000Z'})
    const eve = await autumn.addUser('Eve')
    const wallTime = {time: '2026-10-25T02:30', zone: 'Europe/Berlin'}
    expect(await book(autumn, eve, {wallTime}, '... on AmbiguousWallTime { candidates }')).toMatchObject({
      __typename: 'AmbiguousWallTime',
      code: 'AMBIGUOUS_WALL_TIME',
      candidates: ['2026-10-25T00:30:00.000Z', '2026-10-25T01:30:00.000Z'],
    })
    await autumn.stop()
  })

  test('a wall time that is one moment is booked, and its zone is kept', async () => {
    const wallTime = {time: '2026-12-10T18:00', zone: 'America/New_York'}
    const fields = '... on BookSuccess { booking { start zone } }'
    expect((await book(engine, ann, {wallTime}, fields)).booking).toEqual({
      start: '2026-12-10T23:00:00.000Z',
      zone: 'America/New_York',
    })
  })

  test.each([
    ['both start and wallTime', {start: day(1, '12:00'), wallTime: {time: '2026-12-01T12:00', zone: 'UTC'}}, 'start'],
    ['neither', {}, 'start'],
    ['an unknown zone', {wallTime: {time: '2026-12-01T12:00', zone: 'Mars/Olympus'}}, 'wallTime.zone'],
    ['a wall time with an offset', {wallTime: {time: '2026-12-01T12:00Z', zone: 'UTC'}}, 'wallTime.time'],
    ['a day that does not exist', {wallTime: {time: '2026-02-30T12:00', zone: 'UTC'}}, 'wallTime.time'],
  ])('%s is refused with the field', async (_, when, field) => {
    const query = 'mutation ($input: BookInput!) { book(input: $input) { __typename } }'
    const input = {idempotencyKey: randomUUID(), serviceId: 'ench', realmId: 'EU', minutes: 60, ...when}
    const reply = await ask(engine, query, {as: ann, variables: {input}})
    expect(faultOf(reply)).toMatchObject({status: 400, code: 'BAD_INPUT', field})
  })

  test('operators cancel anybody’s booking', async () => {
    const {booking} = await book(engine, ann, {start: day(11, '12:00')})
    expect((await cancel(booking.id, operator)).booking.status).toBe('CANCELLED')
  })

  test('what was written is read back at its position, from the first query on', async () => {
    const {booking, position} = await book(engine, ann, {start: day(12, '12:00')})
    const query = 'query ($id: ID!) { booking(id: $id) { status service { name } realm { name } machine { id } } }'
    const headers = {'x-hourhand-position': position}
    const {body} = await ask(engine, query, {as: ann, variables: {id: booking.id}, headers})
    expect(body.data.booking).toEqual({
      status: 'CONFIRMED',
      service: {name: 'ench'},
      realm: {name: 'Europe'},
      machine: null,
    })
    const seen = await ask(engine, query, {as: operator, variables: {id: booking.id}, headers})
    expect(seen.body.data.booking.machine).toEqual({id: 'Machine:eu-1'})
  })

  test('a refusal says how far to read to see what was taken back, and a repeat how far to see what was done', async () => {
    const mutation = `mutation ($input: BookInput!) { book(input: $input) {
      __typename ... on BookSuccess { position } ... on Refusal { code position } } }`
    const wish = {serviceId: 'ench', realmId: 'EU', minutes: 60, start: day(17, '12:00')}
    const send = async (idempotencyKey: string, as: TestUser, headers = {}) => {
      const variables = {input: {...wish, idempotencyKey}}
      const {body} = await ask(engine, mutation, {as, variables, headers})
      return body.data.book as {__typename: string; position: string}
    }
    const key = randomUUID()
    const first = await send(key, ann)
    expect(first.__typename).toBe('BookSuccess')
    const refused = await send(randomUUID(), ben)
    expect(refused.__typename).toBe('SlotTaken')
    // Hours held, a slot declined, hours given back: nothing was written after that.
    await engine.settled()
    expect(refused.position).toBe(String(engine.engine.projections.position()))
    expect(BigInt(refused.position) - BigInt(first.position)).toBe(3n)
    const again = await send(key, ann)
    expect(again.__typename).toBe('BookSuccess')
    expect(BigInt(again.position)).toBeGreaterThanOrEqual(BigInt(first.position))
  })

  test('what is offered can be booked, and then is no longer offered', async () => {
    const query = `query ($from: DateTime!, $to: DateTime!, $minutes: Int!) {
      availability(serviceId: "Service:ench", realmId: "EU", from: $from, to: $to, minutes: $minutes) {
        __typename ... on Availability { slots { start end freeMachines } searchedUntil }
        ... on Refusal { code field }
      }
    }`
    const offered = async (as?: TestUser) => {
      const variables = {from: day(13, '12:00'), to: day(13, '14:00'), minutes: 60}
      const {body} = await ask(engine, query, {variables, ...(as === undefined ? {} : {as})})
      return body.data.availability.slots.map(({start}: {start: string}) => start.slice(11, 16))
    }
    expect(await offered()).toEqual(['12:00', '12:15', '12:30', '12:45', '13:00', '13:15', '13:30', '13:45'])
    expect((await book(engine, ann, {start: day(13, '12:30')})).__typename).toBe('BookSuccess')
    expect(await offered()).toEqual(['13:45'])
    expect(await offered(ben)).toEqual(['13:45'])
    expect(await offered(ann)).toEqual(['13:30', '13:45'])

    const refused = async (variables: object) => (await ask(engine, query, {variables: {...variables}})).body
    const window = {from: day(13, '12:00'), to: day(13, '14:00')}
    expect((await refused({...window, minutes: 61})).data.availability).toMatchObject({code: 'LENGTH_NOT_ALLOWED'})
    const long = {from: day(1, '12:00'), to: plusMinutes(instant(day(1, '12:00')), 31 * 1440 + 1), minutes: 60}
    expect((await refused(long)).errors[0].extensions).toMatchObject({code: 'BAD_INPUT', field: 'to'})
    const backwards = {from: window.to, to: window.from, minutes: 60}
    expect((await refused(backwards)).errors[0].extensions).toMatchObject({code: 'BAD_INPUT', field: 'to'})
  })

  test('a quote is the list value, or a refusal', async () => {
    const query = `query ($id: ID!, $minutes: Int!) { quote(serviceId: $id, minutes: $minutes) {
      __typename ... on Quote { total { amountMinor currency } discountPercent } ... on Refusal { code } } }`
    const quote = async (id: string, minutes: number) =>
      (await ask(engine, query, {variables: {id, minutes}})).body.data.quote
    expect(await quote('Service:ench', 120)).toEqual({
      __typename: 'Quote',
      total: {amountMinor: 2000, currency: 'USD'},
      discountPercent: 0,
    })
    expect(await quote('nope', 120)).toMatchObject({code: 'UNKNOWN_SERVICE'})
    expect(await quote('ench', 1)).toMatchObject({code: 'LENGTH_NOT_ALLOWED'})
  })

  // Last: it moves the clock on.
  test('B8: cancelled after the start, the minutes begun are charged; after the end it is over', async () => {
    const {booking} = await book(engine, ann, {start: day(30, '12:00')})
    engine.clock.set(instant(day(30, '12:10')))
    expect((await cancel(booking.id, ann)).booking).toMatchObject({status: 'CANCELLED'})
    const late = await book(engine, ann, {start: day(30, '14:00')})
    engine.clock.set(instant(day(30, '15:30')))
    expect((await cancel(late.booking.id, ann)).__typename).toBe('AlreadyEnded')
  })
})
