import {minutes, type Minutes} from './minutes.ts'
import {maxInstant, minInstant, msBetween, parseInstant, plusMinutes, type Instant} from './time.ts'

/** Half-open `[start, end)`, never empty: an interval that ends at 12:00 and one that starts then only touch. */
export interface Interval {
  readonly start: Instant
  readonly end: Instant
}

/** Throws unless end is after start (a bug, not an input). */
export function interval(start: Instant, end: Instant): Interval {
  if (!(start < end)) throw new RangeError(`an interval must end after it starts: ${start} – ${end}`)
  return {start, end}
}

/** Checks `{start, end}` from outside, each an RFC 3339 time with an offset; null when it is no interval. */
export function parseInterval(value: unknown): Interval | null {
  if (typeof value !== 'object' || value === null) return null
  const {start, end} = value as {readonly start?: unknown; readonly end?: unknown}
  const from = parseInstant(start)
  const until = parseInstant(end)
  return from !== null && until !== null && from < until ? {start: from, end: until} : null
}

/** `count` minutes from `start`; at least one. */
export function intervalFrom(start: Instant, count: Minutes): Interval {
  return interval(start, plusMinutes(start, count))
}

/** Whether the two share a moment; touching ends do not. */
export function overlaps(a: Interval, b: Interval): boolean {
  return a.start < b.end && b.start < a.end
}

/** Whether the moment lies in the interval: its start does, its end does not. */
export function contains(whole: Interval, moment: Instant): boolean {
  return whole.start <= moment && moment < whole.end
}

/** Whether `part` lies in `whole`; equal ends are inside. */
export function encloses(whole: Interval, part: Interval): boolean {
  return whole.start <= part.start && part.end <= whole.end
}

/** What the two share; null when they only touch or are apart. */
export function intersection(a: Interval, b: Interval): Interval | null {
  return overlaps(a, b) ? {start: maxInstant(a.start, b.start), end: minInstant(a.end, b.end)} : null
}

export function sameInterval(a: Interval, b: Interval): boolean {
  return a.start === b.start && a.end === b.end
}

export function durationMs({start, end}: Interval): number {
  return msBetween(start, end)
}

/** Whole minutes, rounded down: a minute that was not had in full is not counted. */
export function durationMinutes(whole: Interval): Minutes {
  return minutes(Math.floor(durationMs(whole) / 60_000))
}

/** The interval with a lead before it and a tail after it, as an allocation has its warm-up and turnaround. */
export function extend({start, end}: Interval, leadMinutes: Minutes, tailMinutes: Minutes): Interval {
  return interval(plusMinutes(start, 0 - leadMinutes), plusMinutes(end, tailMinutes))
}

/**
 * What of `within` none of `occupied` covers, in order. `occupied` must be sorted by start (throws otherwise); its
 * intervals may overlap, touch, or reach beyond `within`.
 */
export function gaps(occupied: readonly Interval[], within: Interval): readonly Interval[] {
  const free: Interval[] = []
  let freeFrom = within.start
  let lastStart: Instant | null = null
  for (const taken of occupied) {
    if (lastStart !== null && taken.start < lastStart)
      throw new RangeError('occupied intervals must be sorted by start')
    lastStart = taken.start
    if (taken.start >= within.end) continue
    if (freeFrom < taken.start) free.push({start: freeFrom, end: taken.start})
    freeFrom = maxInstant(freeFrom, taken.end)
  }
  if (freeFrom < within.end) free.push({start: freeFrom, end: within.end})
  return free
}
