import {instantsOfWallTime, isZone, parseInstant, plusMinutes, type Instant} from '../kernel/time.ts'
import {builder} from './builder.ts'
import {badInput} from './errors.ts'
import {defineRefusal} from './refusals.ts'

/** A wall time that is no one moment: the clocks were put back, or forward, over it. */
export type WallTimeRefusal =
  | {readonly type: 'AmbiguousWallTime'; readonly field: 'wallTime'; readonly candidates: readonly Instant[]}
  | {readonly type: 'NonexistentWallTime'; readonly field: 'wallTime'; readonly candidates: readonly Instant[]}

const candidates = 'The two moments it can mean, earlier first; ask again with one of them as `start`.'

defineRefusal<Extract<WallTimeRefusal, {type: 'AmbiguousWallTime'}>>('AmbiguousWallTime', {
  code: 'AMBIGUOUS_WALL_TIME',
  message: () => 'The clocks are put back then, so this time comes twice. Say which: with its offset, as start.',
  fields: t => ({
    candidates: t.field({type: ['DateTime'], description: candidates, resolve: refusal => [...refusal.candidates]}),
  }),
})

defineRefusal<Extract<WallTimeRefusal, {type: 'NonexistentWallTime'}>>('NonexistentWallTime', {
  code: 'NONEXISTENT_WALL_TIME',
  message: () => 'The clocks are put forward over this time, so it does not exist. Choose another one.',
  fields: t => ({
    candidates: t.field({type: ['DateTime'], description: candidates, resolve: refusal => [...refusal.candidates]}),
  }),
})

export const wallTimeInput = builder.inputType('WallTimeInput', {
  description: 'A time as a clock on a wall in some place shows it.',
  fields: t => ({
    time: t.string({required: true, description: 'E.g. 2026-03-29T18:00, without an offset.'}),
    zone: t.string({required: true, description: 'IANA name, e.g. Europe/Berlin.'}),
  }),
})

type Chosen = {readonly start: Instant; readonly zone: string | null} | {readonly refusal: WallTimeRefusal}

/** The one moment that a request names, by `start` or by `wallTime`. Throws BAD_INPUT when it names none. */
export function startOf(input: {
  readonly start?: Instant | null | undefined
  readonly wallTime?: {readonly time: string; readonly zone: string} | null | undefined
}): Chosen {
  const {start = null, wallTime = null} = input
  if (start !== null && wallTime === null) return {start, zone: null}
  if (start !== null || wallTime === null) throw badInput('start', 'Give either start or wallTime.')
  const {time, zone} = wallTime
  if (!isZone(zone)) throw badInput('wallTime.zone', 'This is no IANA time zone.')
  const utc = parseInstant(`${time}Z`)
  if (utc === null) throw badInput('wallTime.time', 'A wall time has the form 2026-03-29T18:00.')
  const found = instantsOfWallTime(time, zone)
  const [only] = found
  if (found.length > 1) return {refusal: {type: 'AmbiguousWallTime', field: 'wallTime', candidates: found}}
  if (only !== undefined) return {start: only, zone}
  return {refusal: {type: 'NonexistentWallTime', field: 'wallTime', candidates: besideGap(utc, zone)}}
}

const reachHours = 26

/** What the wall time would be by the offset before the gap and by the one after it. */
function besideGap(utc: Instant, zone: string): readonly Instant[] {
  const readings = [-reachHours, reachHours].flatMap(hours => {
    const wall = plusMinutes(utc, hours * 60).slice(0, 19)
    return instantsOfWallTime(wall, zone).map(instant => plusMinutes(instant, -hours * 60))
  })
  return [...new Set(readings)].sort()
}
