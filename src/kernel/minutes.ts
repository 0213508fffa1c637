/** Hours are kept as whole minutes ≥ 0: an hour pack of 10 h is 600. Fractions would let a balance drift. */
export type Minutes = number & {readonly __brand: 'Minutes'}

/** About 4,000 years. The bound is what a GraphQL Int can say, and keeps a million sums exact. */
export const minutesMax = 2_147_483_647

/** Brands a count that this program made. Throws on what is no whole count from 0 to `minutesMax` (a bug, not an input). */
export function minutes(count: number): Minutes {
  const parsed = parseMinutes(count)
  if (parsed === null) throw new RangeError(`not a count of minutes: ${count}`)
  return parsed
}

/** Checks and brands a count from outside; null when it is no whole number from 0 to `minutesMax`. */
export function parseMinutes(value: unknown): Minutes | null {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > minutesMax) return null
  // −0 equals 0 but is written `-0` by some and `0` by others; two spellings of one fact must not exist.
  return (value + 0) as Minutes
}

/** `0 min`, `45 min`, `2 h`, `1 h 30 min`. Hours are not folded into days: packs are sold in hours. */
export function formatMinutes(count: Minutes): string {
  const hours = Math.floor(count / 60)
  const rest = count % 60
  if (hours === 0) return `${rest} min`
  return rest === 0 ? `${hours} h` : `${hours} h ${rest} min`
}
