import type {Draw} from '../../src/account/events.ts'
import type {LogRule, Report} from './rule-of-log.ts'

interface Grant {
  readonly fromMs: number
  readonly untilMs: number
  available: number
}

export interface GrantsRule extends LogRule {
  /** What could be held at this moment, by the wall clock, and how many events led to it. */
  account(stream: string, nowMs: number): {readonly availableMinutes: number; readonly events: number}
}

/** What a grant of hours can be used for, and how long; and what a purchase cost. */
export function checkGrants(report: Report): GrantsRule {
  const accounts = new Map<string, Map<string, Grant>>()
  const events = new Map<string, number>()
  const prices = new Map<string, string>()
  const paid = new Set<string>()
  const grantsOf = (stream: string): Map<string, Grant> => {
    const grants = accounts.get(stream) ?? new Map<string, Grant>()
    accounts.set(stream, grants)
    return grants
  }
  const move = (stream: string, draws: readonly Draw[], sign: 1 | -1): void => {
    for (const {grantId, minutes} of draws) {
      const grant = grantsOf(stream).get(grantId)
      if (grant !== undefined) grant.available += sign * minutes
    }
  }
  return {
    account(stream, nowMs) {
      const drawable = [...grantsOf(stream).values()].filter(({fromMs, untilMs}) => fromMs <= nowMs && nowMs < untilMs)
      const availableMinutes = drawable.reduce((sum, {available}) => sum + available, 0)
      return {availableMinutes, events: events.get(stream) ?? 0}
    },
    see({type, data}, {stream, decidedMs}) {
      events.set(stream, (events.get(stream) ?? 0) + 1)
      switch (type) {
        case 'HoursGranted': {
          const {grantId, effectiveAt, expiresAt} = data
          const untilMs = expiresAt === null ? Infinity : Date.parse(expiresAt)
          grantsOf(stream).set(grantId, {fromMs: Date.parse(effectiveAt), untilMs, available: data.minutes})
          return
        }
        case 'HoursHeld':
          for (const {grantId} of data.draws) {
            const grant = grantsOf(stream).get(grantId)
            if (grant === undefined) continue
            if (grant.untilMs <= decidedMs) report(`${data.bookingId} drew on hours that had expired`)
            if (grant.fromMs > decidedMs) report(`${data.bookingId} drew on hours before their time`)
          }
          return move(stream, data.draws, -1)
        case 'HoursReleased':
        case 'HoursCompensated':
          return move(stream, data.draws, 1)
        case 'HoursExpired': {
          const grant = grantsOf(stream).get(data.grantId)
          if (grant !== undefined && decidedMs < grant.untilMs)
            report(`grant ${data.grantId} expired before their time`)
          move(stream, [data], -1)
          if (data.minutes === 0) report(`nothing of grant ${data.grantId} expired`)
          return
        }
        case 'CheckoutStarted':
          if (prices.has(data.purchaseId)) report(`checkout ${data.purchaseId} was started twice`)
          prices.set(data.purchaseId, JSON.stringify(data.price))
          return
        case 'PaymentReceived': {
          const {purchaseId, amount} = data
          if (paid.has(purchaseId)) report(`purchase ${purchaseId} received a second payment`)
          paid.add(purchaseId)
          const given = JSON.stringify(amount)
          if (given !== prices.get(purchaseId)) report(`purchase ${purchaseId} was paid with ${given}`)
          return
        }
        default:
      }
    },
  }
}
