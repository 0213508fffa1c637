import {expect, test} from 'vitest'
import {crashPoints} from './crash-points.ts'
import {killAgainAndAgain} from './kills.ts'

test('killed at every named point and at random, it loses nothing it acknowledged and does nothing twice', async () => {
  const {violations, kills, acknowledged, machineStarts} = await killAgainAndAgain({kills: 50, seed: 1})
  expect(violations).toEqual([])
  expect(Object.keys(kills)).toEqual(expect.arrayContaining(crashPoints.map(({name}) => name)))
  expect(acknowledged).toBeGreaterThan(200)
  expect(machineStarts).toBeGreaterThan(0)
}, 300_000)

/** Guards taken out of the program: a run that does not notice would prove nothing. */
const bugs = {
  'answers before its log has it': {
    point: 'before the commit of a group',
    file: 'src/event-store/lane.ts',
    text: 'const {revision, position} = await store.append(stream, expected, events)',
    by: `const revision = base.revision + BigInt(events.length)
      const position = {commit: 0n, prepare: 0n}
      store.append(stream, expected, events).catch(() => undefined)`,
  },
  'takes a repeat for a new wish': {
    point: 'after the confirmation of a booking',
    file: 'src/dispatch/caller.ts',
    text: 'return derivedUuid(kind, caller.userId, idempotencyKey) as CommandId',
    by: 'return derivedUuid(kind, caller.userId, idempotencyKey, String(performance.now())) as CommandId',
  },
  'lets those wait whose caller has died': {
    point: 'after the hold of a booking',
    file: 'src/processes/booking.ts',
    text: "return now >= orphanedAt ? {do: 'finishBooking'}",
    by: `if (now !== end) return {do: 'nothing', lookAgainAt: plusMs(now, 3_600_000)}
      return now >= orphanedAt ? {do: 'finishBooking'}`,
  },
} as const

test.each(Object.entries(bugs))(
  'a program that %s is found out',
  async (_, {point, ...bug}) => {
    const {violations} = await killAgainAndAgain({kills: 3, seed: 2, points: [point], bugs: [bug], patienceMs: 4_000})
    expect(violations).not.toEqual([])
  },
  120_000,
)
