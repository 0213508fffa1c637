/** The same work for every contestant: who books what, when. */
export const users = Array.from({length: 500}, (_, index) => `user-${index}`)
export const machines = Array.from({length: 50}, (_, index) => `machine-${index}`)
export const service = 'ENCH'
export const realm = 'EU'
export const pool = 'eu'
/** Enough that nobody runs out of hours. */
export const minutesEach = 500_000

const hourMs = 3_600_000
/** Two hours apart, so that an hour and its buffers never touch the next; within the 60 days' horizon. */
const slots = 700

export interface Wish {
  readonly userId: string
  readonly startMs: number
  readonly endMs: number
}

/** The `index`-th wish: users in turn, slots in an order that spreads over the whole horizon. */
export function wishOf(index: number, baseMs: number): Wish {
  const startMs = baseMs + ((index * 37) % slots) * 2 * hourMs
  return {userId: users[index % users.length] ?? '', startMs, endMs: startMs + hourMs}
}

export const bookingsMax = slots * machines.length
