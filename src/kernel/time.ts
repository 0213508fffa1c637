import {DateTime, FixedOffsetZone, IANAZone} from 'luxon'

/**
 * A moment in UTC, always written `2026-11-21T10:00:00.000Z`. The one form makes text order time order, so instants
 * compare with `<` and `===`, read well in a stored event and need no conversion on the way to JSON or SQL.
 * Valid from year 1970 to 9999.
 */
export type Instant = string & {readonly __brand: 'Instant'}

const pattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
// RFC 3339 knows no hour 24 and no offset beyond 23:59; luxon, which reads all of ISO 8601, takes both.
const rfc3339 = /^\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/i
const wallTime = /^\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d(:\d\d)?$/

/** The last millisecond of year 9999, after which ISO text no longer sorts by time. */
const msMax = 253_402_300_799_999

function isInstantMs(ms: number): boolean {
  return ms >= 0 && ms <= msMax
}

/** Milliseconds since the Unix epoch → instant. Throws on what no instant can say (a bug, not an input). */
export function instantFromMs(ms: number): Instant {
  if (!isInstantMs(ms)) throw new RangeError(`no instant for ${ms} ms`)
  return new Date(ms).toISOString() as Instant
}

export function msOf(instant: Instant): number {
  return Date.parse(instant)
}

/** Reads an RFC 3339 time with an offset or `Z`; null when it is none. A wall time without an offset is none. */
export function parseInstant(text: unknown): Instant | null {
  if (typeof text !== 'string' || text.length > 40) return null
  if (pattern.test(text)) {
    const ms = Date.parse(text)
    // Date.parse takes 2026-02-30; only a round trip proves the day exists.
    return isInstantMs(ms) && new Date(ms).toISOString() === text ? (text as Instant) : null
  }
  if (!rfc3339.test(text)) return null
  const parsed = DateTime.fromISO(text, {setZone: true})
  return parsed.isValid && isInstantMs(parsed.toMillis()) ? instantFromMs(parsed.toMillis()) : null
}

export function plusMs(instant: Instant, ms: number): Instant {
  return instantFromMs(msOf(instant) + ms)
}

export function plusMinutes(instant: Instant, minutes: number): Instant {
  return plusMs(instant, minutes * 60_000)
}

/** b − a in milliseconds. */
export function msBetween(a: Instant, b: Instant): number {
  return msOf(b) - msOf(a)
}

export function minInstant(a: Instant, b: Instant): Instant {
  return a < b ? a : b
}

export function maxInstant(a: Instant, b: Instant): Instant {
  return a > b ? a : b
}

export function isZone(name: string): boolean {
  return IANAZone.isValidZone(name)
}

/** Source of the present; handed in by the composition root so that a simulation can hold the clock. */
export interface Clock {
  /** Wall time, for facts. */
  now(): Instant
  /** Milliseconds that only ever grow, for time-outs and leases. */
  monotonicMs(): number
}

/** Waiting, handed in like the clock. */
export interface Timers {
  /** Resolves after so many milliseconds, or at once when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** The instants a wall time can mean in a zone: none in a DST gap, two in an overlap, else one. */
export function instantsOfWallTime(wall: string, zone: string): readonly Instant[] {
  if (!wallTime.test(wall) || !isZone(zone)) return []
  const naive = DateTime.fromISO(wall, {zone: 'utc'})
  if (!naive.isValid) return []
  const found = new Set<Instant>()
  // Every offset in force within a day either side is a candidate; one that maps back to the wall time is an answer.
  for (const hours of [-26, -13, 0, 13, 26]) {
    const offset = naive.plus({hours}).setZone(zone).offset
    const candidate = DateTime.fromISO(wall, {zone: FixedOffsetZone.instance(offset)})
    const ms = candidate.toMillis()
    if (isInstantMs(ms) && candidate.setZone(zone).offset === offset) found.add(instantFromMs(ms))
  }
  return [...found].sort()
}
