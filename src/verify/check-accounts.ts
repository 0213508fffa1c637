import type {Draw} from '../account/events.ts'
import type {Report, Rule} from './rule.ts'

interface Grant {
  readonly minutes: number
  available: number
  held: number
  captured: number
  expired: number
}

/** Per grant: granted = available + held + captured + expired, none below zero, and no hold gives more than it took. */
export function checkAccounts(report: Report): Rule {
  const grants = new Map<string, Grant>()
  const holds = new Map<string, number>()

  function move(
    stream: string,
    draws: readonly Draw[],
    minutes: number,
    how: (grant: Grant, by: number) => void,
  ): void {
    if (draws.reduce((sum, draw) => sum + draw.minutes, 0) !== minutes) report(`draws on ${stream} are not ${minutes}`)
    for (const {grantId, minutes: by} of draws) {
      const grant = grants.get(`${stream} ${grantId}`)
      if (grant === undefined) {
        report(`${stream} draws on a grant it does not have`)
        continue
      }
      how(grant, by)
      check(stream, grant)
    }
  }

  function check(stream: string, {minutes, available, held, captured, expired}: Grant): void {
    const isWhole = [available, held, captured, expired].every(part => Number.isInteger(part) && part >= 0)
    if (!isWhole || available + held + captured + expired !== minutes) {
      report(`${stream}: ${minutes} <> ${available} + ${held} + ${captured} + ${expired}`)
    }
  }

  function settle(bookingId: string, minutes: number): void {
    const left = (holds.get(bookingId) ?? 0) - minutes
    if (left < 0) report(`the hold of ${bookingId} gave more than it took`)
    holds.set(bookingId, left)
  }

  return {
    see({type, data}, stream) {
      switch (type) {
        case 'HoursGranted': {
          const key = `${stream} ${data.grantId}`
          if (grants.has(key)) report(`grant ${data.grantId} was given twice`)
          grants.set(key, {minutes: data.minutes, available: data.minutes, held: 0, captured: 0, expired: 0})
          return
        }
        case 'HoursHeld':
          if (holds.has(data.bookingId)) report(`hours of ${data.bookingId} were held twice`)
          holds.set(data.bookingId, data.minutes)
          return move(stream, data.draws, data.minutes, (grant, by) => {
            grant.available -= by
            grant.held += by
          })
        case 'HoursCaptured':
          settle(data.bookingId, data.minutes)
          return move(stream, data.draws, data.minutes, (grant, by) => {
            grant.held -= by
            grant.captured += by
          })
        case 'HoursReleased':
        case 'HoursCompensated':
          settle(data.bookingId, data.minutes)
          return move(stream, data.draws, data.minutes, (grant, by) => {
            grant.held -= by
            grant.available += by
          })
        case 'HoursExpired':
          return move(stream, [data], data.minutes, (grant, by) => {
            grant.available -= by
            grant.expired += by
          })
        default:
      }
    },
  }
}
