import {describe, expect, test} from 'vitest'
import type {Answer} from '../../src/dispatch/caller.ts'
import {createOnce} from '../../src/dispatch/once.ts'
import {customer} from '../support/world-acts.ts'

const ann = customer('ann')
const bob = customer('bob')
const ok = <Value>(value: Value): Answer<Value, never> => ({ok: true, value, reached: null})
const reused = {ok: false, refusal: {type: 'IdempotencyKeyReused', field: 'idempotencyKey'}}

/** Work that counts its runs and lasts until it is told its answer. */
function heldRun() {
  const running: PromiseWithResolvers<Answer<string, never>>[] = []
  return {
    running,
    run: () => {
      const held = Promise.withResolvers<Answer<string, never>>()
      running.push(held)
      return held.promise
    },
  }
}

describe('one idempotency key', () => {
  test('runs once for calls that come at the same time; all get the one answer', async () => {
    const once = createOnce()
    const {run, running} = heldRun()
    const calls = Array.from({length: 20}, () => once(ann, 'book', {idempotencyKey: 'k'}, run))
    expect(running).toHaveLength(1)
    running[0]?.resolve(ok('done'))
    expect(new Set(await Promise.all(calls)).size).toBe(1)
    expect(await calls[0]).toEqual(ok('done'))
  })

  test('runs again for a call that comes after the answer: what a repeat may do is for the deciders to say', async () => {
    const once = createOnce()
    let runs = 0
    const run = async () => ok(++runs)
    await once(ann, 'book', {idempotencyKey: 'k'}, run)
    expect(await once(ann, 'book', {idempotencyKey: 'k'}, run)).toEqual(ok(2))
  })

  test('is refused with another body, while the first call runs and after it', async () => {
    const once = createOnce()
    const {run, running} = heldRun()
    const first = once(ann, 'book', {idempotencyKey: 'k', minutes: 60} as {idempotencyKey: string}, run)
    const other = {idempotencyKey: 'k', minutes: 61} as {idempotencyKey: string}
    expect(await once(ann, 'book', other, run)).toEqual(reused)
    running[0]?.resolve(ok('done'))
    await first
    expect(await once(ann, 'book', other, run)).toEqual(reused)
    expect(running).toHaveLength(1)
  })

  test('means different things from different callers', async () => {
    const once = createOnce()
    const answers = await Promise.all([
      once(ann, 'book', {idempotencyKey: 'k'}, async () => ok('of ann')),
      once(bob, 'book', {idempotencyKey: 'k'}, async () => ok('of bob')),
    ])
    expect(answers).toEqual([ok('of ann'), ok('of bob')])
  })

  test('means different things for different commands', async () => {
    const once = createOnce()
    const {run, running} = heldRun()
    const calls = [
      once(ann, 'book', {idempotencyKey: 'k'}, run),
      once(ann, 'cancelBooking', {idempotencyKey: 'k'}, run),
    ]
    running[0]?.resolve(ok('booked'))
    running[1]?.resolve(ok('cancelled'))
    expect(await Promise.all(calls)).toEqual([ok('booked'), ok('cancelled')])
  })

  test('is the same with the same body, in whatever order its fields come', async () => {
    const once = createOnce()
    const body = (fields: object) => fields as {idempotencyKey: string}
    const first = body({idempotencyKey: 'k', minutes: 60, place: {realm: 'EU', service: 'BO'}})
    const again = body({place: {service: 'BO', realm: 'EU'}, minutes: 60, idempotencyKey: 'k'})
    await once(ann, 'book', first, async () => ok('done'))
    expect(await once(ann, 'book', again, async () => ok('done'))).toEqual(ok('done'))
  })

  test('may be tried again after a failure, which all who waited are told of', async () => {
    const once = createOnce()
    const {run, running} = heldRun()
    const calls = [once(ann, 'book', {idempotencyKey: 'k'}, run), once(ann, 'book', {idempotencyKey: 'k'}, run)]
    running[0]?.reject(new Error('no store'))
    const outcomes = await Promise.allSettled(calls)
    expect(outcomes.map(({status}) => status)).toEqual(['rejected', 'rejected'])
    const again = once(ann, 'book', {idempotencyKey: 'k'}, run)
    running[1]?.resolve(ok('done'))
    expect(await again).toEqual(ok('done'))
  })
})

describe('the memory of finished keys', () => {
  const rememberedMax = 50_000

  test('is bounded: the oldest is forgotten first, what runs never', async () => {
    const once = createOnce()
    const {run, running} = heldRun()
    const call = (key: string, body: number) => ({idempotencyKey: key, body}) as {idempotencyKey: string}
    const still = once(ann, 'book', call('still running', 1), run)
    await once(ann, 'book', call('old', 1), async () => ok('old'))
    for (let key = 0; key < rememberedMax - 2; key++)
      await once(ann, 'book', call(`key-${key}`, 1), async () => ok(key))
    expect(await once(ann, 'book', call('old', 2), async () => ok('other'))).toEqual(reused)

    await once(ann, 'book', call('one more', 1), async () => ok('one more'))
    expect(await once(ann, 'book', call('old', 2), async () => ok('other'))).toEqual(ok('other'))
    expect(await once(ann, 'book', call('still running', 2), run)).toEqual(reused)
    running[0]?.resolve(ok('done'))
    expect(await still).toEqual(ok('done'))
  })
})
