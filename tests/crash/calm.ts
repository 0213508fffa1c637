import {setTimeout as after} from 'node:timers/promises'
import type {RecordedEvent} from '../../src/event-store/port.ts'
import type {UserId} from '../../src/kernel/ids.ts'
import {balancesOf, statusesOf, type Balance} from './audit.ts'
import {rawId, type Client} from './client.ts'
import type {CrashNode, TestClock} from './nodes.ts'

/** What a customer sees of their account. */
export interface Statement {
  readonly balance: Balance
  readonly bookings: ReadonlyMap<string, {readonly status: string; readonly minutes: number; readonly endMs: number}>
}

interface Page {
  readonly edges: readonly {
    readonly node: {readonly id: string; readonly status: string; readonly minutes: number; readonly end: string}
  }[]
  readonly pageInfo: {readonly hasNextPage: boolean; readonly endCursor: string | null}
}

export async function statementOf(client: Client, node: CrashNode, userId: UserId): Promise<Statement> {
  const bookings = new Map<string, {status: string; minutes: number; endMs: number}>()
  for (let cursor: string | null = null; ;) {
    type Asked = {readonly viewer: {readonly balance: Balance; readonly bookings: Page}}
    const {viewer}: Asked = await client.ask<Asked>(
      node,
      userId,
      `query ($after: String) {
        viewer {
          balance { availableMinutes heldMinutes }
          bookings(first: 100, after: $after) {
            edges { node { id status minutes end } } pageInfo { hasNextPage endCursor }
          }
        }
      }`,
      {after: cursor},
    )
    for (const {node: booking} of viewer.bookings.edges) {
      const {status, minutes, end} = booking
      bookings.set(rawId(booking.id), {status, minutes, endMs: Date.parse(end)})
    }
    if (!viewer.bookings.pageInfo.hasNextPage) return {balance: viewer.balance, bookings}
    cursor = viewer.bookings.pageInfo.endCursor
  }
}

/** Whether nothing is open for the customer but what lies ahead. */
function isCalm({balance, bookings}: Statement, nowMs: number): boolean {
  const open = [...bookings.values()].filter(({status}) => status === 'CONFIRMED' || status === 'STARTED')
  const ahead = open.reduce((sum, {minutes}) => sum + minutes, 0)
  return open.every(({endMs}) => endMs > nowMs) && balance.heldMinutes === ahead
}

/** What the engine owes is done within this, once nothing is in its way. */
export const patienceMs = 60_000
const lookEveryMs = 100

/** Resolves with how long it took until every hold whose time is over had ended, null when that took `limitMs`. */
export async function untilCalm(
  client: Client,
  node: CrashNode,
  userIds: readonly UserId[],
  clock: TestClock,
  limitMs = patienceMs,
): Promise<number | null> {
  const beganMs = performance.now()
  const open = new Set(userIds)
  while (performance.now() - beganMs < limitMs) {
    for (const userId of open) {
      if (isCalm(await statementOf(client, node, userId), clock.nowMs())) open.delete(userId)
    }
    if (open.size === 0) return performance.now() - beganMs
    await after(lookEveryMs)
  }
  return null
}

/** The node's own words against the log: the same balances, and every booking where the log has it. */
export function compareStatements(
  events: readonly RecordedEvent[],
  statements: ReadonlyMap<UserId, Statement>,
  report: (violation: string) => void,
): void {
  const balances = balancesOf(events)
  const bookings = statusesOf(events)
  for (const [userId, {balance, bookings: shown}] of statements) {
    const logged = balances.get(userId)
    if (JSON.stringify(logged) !== JSON.stringify(balance)) {
      report(`${userId} is shown ${JSON.stringify(balance)} and has ${JSON.stringify(logged)}`)
    }
    const own = [...bookings].filter(([, booking]) => booking.userId === userId)
    if (own.length !== shown.size) report(`${userId} is shown ${shown.size} bookings and has ${own.length}`)
    for (const [bookingId, {status}] of own) {
      const seen = shown.get(bookingId)?.status
      if (seen !== status) report(`booking ${bookingId} is shown as ${seen} and is ${status}`)
    }
  }
}
