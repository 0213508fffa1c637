import {describe, expect, test} from 'vitest'
import {plusMs, type Instant} from '../../src/kernel/time.ts'
import {createScheduler, type Perform} from '../../src/processes/scheduler.ts'
import {at} from '../support/given.ts'
import {handClock, turn, type HandClock} from '../support/hand-clock.ts'

interface Rig {
  readonly hand: HandClock
  readonly errors: [key: string, message: string][]
  readonly busySinceMs: () => number | null
  touch(key: string): void
  plan(key: string, at: Instant): void
  /** Lets everything run that can, the clock standing. */
  rest(): Promise<void>
  /** Moves the clock in steps, resting at each moment somebody wakes. */
  advance(ms: number): Promise<void>
  stop(): Promise<void>
  abort(): void
  readonly ended: Promise<void>
}

function rig(perform: Perform, more: {parallelMax?: number; random?: () => number; asideMs?: () => number} = {}): Rig {
  const hand = handClock(at('10:00'))
  const errors: [string, string][] = []
  const {parallelMax = 8, random = () => 0.5, asideMs = () => 0} = more
  const onError = (key: string, error: Error): void => void errors.push([key, error.message])
  const parts = {clock: hand.clock, timers: hand.timers, random, onError, parallelMax, asideMs}
  const scheduler = createScheduler(parts, perform)
  const stopping = new AbortController()
  const ended = scheduler.run(stopping.signal)
  const rest = async (): Promise<void> => {
    for (let turns = 0; turns < 5; turns++) await turn()
  }
  return {
    hand,
    errors,
    busySinceMs: () => scheduler.busySinceMs(),
    touch: key => scheduler.touch(key),
    plan: (key, at) => scheduler.plan(key, at),
    rest,
    async advance(ms) {
      const target = hand.elapsedMs() + ms
      for (;;) {
        await rest()
        const next = hand.nextWakeMs()
        if (next === null || next > target) break
        hand.moveTo(next)
      }
      hand.moveTo(target)
      await rest()
    },
    abort: () => stopping.abort(),
    async stop() {
      stopping.abort()
      await ended
    },
    ended,
  }
}

/** Work that lasts until the test ends it. */
function heldWork() {
  const underWay = new Map<string, (again: Instant | null) => void>()
  const begun: string[] = []
  const perform: Perform = key => {
    begun.push(key)
    if (underWay.has(key)) throw new Error(`${key} runs twice at once`)
    const {promise, resolve} = Promise.withResolvers<Instant | null>()
    underWay.set(key, again => {
      underWay.delete(key)
      resolve(again)
    })
    return promise
  }
  const finish = (key: string, again: Instant | null = null): void => underWay.get(key)?.(again)
  return {perform, begun, finish, underWay}
}

describe('the scheduler', () => {
  test('looks at once at what is touched, and not again until something happens', async () => {
    const seen: string[] = []
    const scheduler = rig(async key => {
      seen.push(key)
      return null
    })
    scheduler.touch('a')
    scheduler.touch('b')
    scheduler.touch('a')
    await scheduler.rest()
    expect(seen.sort()).toEqual(['a', 'b'])
    await scheduler.advance(3_600_000)
    expect(seen).toHaveLength(2)
    await scheduler.stop()
  })

  test('looks again at the time asked for, in the order things are due', async () => {
    const seen: [string, number][] = []
    const delays: Record<string, number> = {late: 7_000, soon: 1_500, later: 7_001}
    const scheduler = rig(async key => {
      const isFirst = !seen.some(([known]) => known === key)
      seen.push([key, scheduler.hand.elapsedMs()])
      return isFirst ? plusMs(scheduler.hand.clock.now(), delays[key] ?? 0) : null
    })
    for (const key of ['late', 'later', 'soon']) scheduler.touch(key)
    await scheduler.advance(10_000)
    expect(seen.slice(3)).toEqual([
      ['soon', 1_500],
      ['late', 7_000],
      ['later', 7_001],
    ])
    await scheduler.stop()
  })

  test('looks first at the time planned, whatever was planned before, and sooner when something happens', async () => {
    const seen: [string, number][] = []
    const scheduler = rig(async key => {
      seen.push([key, scheduler.hand.elapsedMs()])
      return null
    })
    const after = (ms: number): Instant => plusMs(scheduler.hand.clock.now(), ms)
    scheduler.plan('a', after(5_000))
    scheduler.plan('a', after(9_000))
    scheduler.plan('b', after(9_000))
    scheduler.plan('b', after(5_000))
    scheduler.plan('c', after(60_000))
    scheduler.plan('now', after(0))
    await scheduler.advance(10_000)
    scheduler.touch('c')
    await scheduler.advance(100_000)
    expect(seen).toEqual([
      ['now', 0],
      ['b', 5_000],
      ['a', 9_000],
      ['c', 10_000],
    ])
    await scheduler.stop()
  })

  test('looks again after the look under way when a time was planned meanwhile: it says itself when to come back', async () => {
    const work = heldWork()
    const scheduler = rig(work.perform)
    scheduler.touch('a')
    await scheduler.rest()
    scheduler.plan('a', plusMs(scheduler.hand.clock.now(), 60_000))
    work.finish('a')
    await scheduler.rest()
    expect(work.begun).toEqual(['a', 'a'])
    work.finish('a')
    await scheduler.stop()
  })

  test('never works on one key twice at once; what is touched meanwhile is looked at once more', async () => {
    const work = heldWork()
    const scheduler = rig(work.perform)
    scheduler.touch('a')
    await scheduler.rest()
    for (let times = 0; times < 5; times++) scheduler.touch('a')
    await scheduler.advance(5_000)
    expect(work.begun).toEqual(['a'])
    work.finish('a')
    await scheduler.rest()
    expect(work.begun).toEqual(['a', 'a'])
    work.finish('a')
    await scheduler.advance(5_000)
    expect(work.begun).toEqual(['a', 'a'])
    expect(scheduler.errors).toEqual([])
    await scheduler.stop()
  })

  test('prefers the touch to the later time that the work under way asked for', async () => {
    const work = heldWork()
    const scheduler = rig(work.perform)
    scheduler.touch('a')
    await scheduler.rest()
    scheduler.touch('a')
    work.finish('a', plusMs(scheduler.hand.clock.now(), 60_000))
    await scheduler.rest()
    expect(work.begun).toEqual(['a', 'a'])
    work.finish('a')
    await scheduler.stop()
  })

  test('works on no more keys at once than allowed, and on the others when there is room, first come first', async () => {
    const work = heldWork()
    const scheduler = rig(work.perform, {parallelMax: 2})
    for (const key of ['a', 'b', 'c', 'd']) {
      scheduler.touch(key)
      scheduler.hand.moveTo(scheduler.hand.elapsedMs() + 1)
    }
    await scheduler.rest()
    expect(work.begun).toEqual(['a', 'b'])
    // Touched again while it waits: it keeps its place.
    scheduler.touch('c')
    work.finish('b')
    await scheduler.rest()
    expect(work.begun).toEqual(['a', 'b', 'c'])
    work.finish('a')
    await scheduler.rest()
    expect(work.begun).toEqual(['a', 'b', 'c', 'd'])
    work.finish('c')
    work.finish('d')
    await scheduler.stop()
  })

  test('begins nothing while something else comes first, and looks again when it was told to', async () => {
    const work = heldWork()
    let asked = 0
    let waitMs = 250
    const scheduler = rig(work.perform, {
      asideMs() {
        asked++
        return waitMs
      },
    })
    await scheduler.rest()
    scheduler.touch('a')
    await scheduler.rest()
    const before = asked
    await scheduler.advance(600)
    expect(work.begun).toEqual([])
    expect(asked - before).toBe(2)
    waitMs = 0
    await scheduler.advance(150)
    expect(work.begun).toEqual(['a'])
    work.finish('a')
    await scheduler.stop()
  })

  test('tries again after an error with growing pauses, a minute at the most, and from the start after a success', async () => {
    const tries: number[] = []
    let isBroken = true
    const scheduler = rig(async () => {
      tries.push(scheduler.hand.elapsedMs())
      if (isBroken) throw new Error('broken')
      return null
    })
    scheduler.touch('a')
    await scheduler.advance(600_000)
    const pauses = tries.slice(1).map((ms, index) => ms - (tries[index] ?? 0))
    // Half to all of 1 s, 2 s, 4 s …; the chance of this test is always in the middle.
    expect(pauses.slice(0, 8)).toEqual([750, 1_500, 3_000, 6_000, 12_000, 24_000, 45_000, 45_000])
    expect(scheduler.errors).toHaveLength(tries.length)
    expect(scheduler.errors[0]).toEqual(['a', 'broken'])

    isBroken = false
    await scheduler.advance(60_000)
    isBroken = true
    const count = tries.length
    scheduler.touch('a')
    await scheduler.advance(800)
    expect(tries.length - count).toBe(2)
    await scheduler.stop()
  })

  test('lets the failure of one key not hold up another', async () => {
    const seen: string[] = []
    const scheduler = rig(async key => {
      if (key === 'bad') throw new Error('bad')
      seen.push(key)
      return plusMs(scheduler.hand.clock.now(), 1_000)
    })
    scheduler.touch('bad')
    scheduler.touch('good')
    await scheduler.advance(5_000)
    expect(seen).toHaveLength(6)
    await scheduler.stop()
  })

  test('begins nothing more once it is told to stop, and ends when what is under way is done', async () => {
    const work = heldWork()
    const scheduler = rig(work.perform)
    scheduler.touch('a')
    await scheduler.rest()
    let hasEnded = false
    void scheduler.ended.then(() => {
      hasEnded = true
    })
    scheduler.abort()
    scheduler.touch('b')
    await scheduler.rest()
    expect(hasEnded).toBe(false)
    work.finish('a', plusMs(scheduler.hand.clock.now(), 0))
    await scheduler.ended
    expect(work.begun).toEqual(['a'])
    expect(scheduler.hand.nextWakeMs()).toBeNull()
  })

  test('does all that has become due when the wall clock jumps ahead', async () => {
    const seen: string[] = []
    const scheduler = rig(async key => {
      seen.push(key)
      return seen.length <= 2 ? plusMs(scheduler.hand.clock.now(), 3_600_000) : null
    })
    scheduler.touch('a')
    scheduler.touch('b')
    await scheduler.rest()
    scheduler.hand.jumpWall(3_600_000)
    await scheduler.advance(1_000)
    expect(seen.slice(2).sort()).toEqual(['a', 'b'])
    await scheduler.stop()
  })

  test('looks at everything again when the wall clock was set back: it may now lie far ahead', async () => {
    const seen: string[] = []
    const scheduler = rig(async key => {
      seen.push(key)
      return plusMs(scheduler.hand.clock.now(), 10_000)
    })
    scheduler.touch('a')
    await scheduler.rest()
    scheduler.hand.jumpWall(-3_600_000)
    await scheduler.advance(1_000)
    expect(seen).toEqual(['a', 'a'])
    await scheduler.advance(30_000)
    expect(seen).toHaveLength(5)
    await scheduler.stop()
  })
})

describe('when more is due than may be worked on', () => {
  test('who lets others go first gives up its place, and goes on when nobody is due', async () => {
    const story: string[] = []
    const scheduler = rig(
      async (key, othersFirst) => {
        story.push(`${key} begins`)
        await othersFirst()
        story.push(`${key} goes on`)
        return null
      },
      {parallelMax: 1},
    )
    for (const key of ['a', 'b', 'c']) scheduler.touch(key)
    await scheduler.rest()
    expect(story.slice(0, 3).sort()).toEqual(['a begins', 'b begins', 'c begins'])
    expect(story.slice(3).sort()).toEqual(['a goes on', 'b goes on', 'c goes on'])
    await scheduler.stop()
  })

  test('who has given up its place is not begun a second time, but once more when it is done', async () => {
    const begun: string[] = []
    const scheduler = rig(
      async (key, othersFirst) => {
        begun.push(key)
        if (begun.length === 1) scheduler.touch('a')
        await othersFirst()
        expect(begun.filter(other => other === key)).toHaveLength(begun.length)
        return null
      },
      {parallelMax: 1},
    )
    scheduler.touch('a')
    await scheduler.rest()
    expect([begun, scheduler.errors]).toEqual([['a', 'a'], []])
    await scheduler.stop()
  })

  test('at its end, those that let others go first go on as well', async () => {
    const ends: string[] = []
    const held = Promise.withResolvers<void>()
    const scheduler = rig(
      async (key, othersFirst) => {
        if (key === 'long') await held.promise
        else await othersFirst()
        ends.push(key)
        return null
      },
      {parallelMax: 1},
    )
    scheduler.touch('polite')
    scheduler.touch('long')
    await scheduler.rest()
    scheduler.abort()
    held.resolve()
    await scheduler.ended
    expect(ends.sort()).toEqual(['long', 'polite'])
  })

  test('it tells since when', async () => {
    const work = heldWork()
    const scheduler = rig(work.perform, {parallelMax: 1})
    scheduler.touch('a')
    await scheduler.rest()
    expect(scheduler.busySinceMs()).toBeNull()
    await scheduler.advance(700)
    scheduler.touch('b')
    await scheduler.advance(2_000)
    const since = scheduler.busySinceMs()
    expect(since === null ? null : since >= 700 && since <= 1_700).toBe(true)
    for (const key of ['a', 'b']) {
      work.finish(key)
      await scheduler.rest()
    }
    expect(scheduler.busySinceMs()).toBeNull()
    await scheduler.stop()
  })
})
