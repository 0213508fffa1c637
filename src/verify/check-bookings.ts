import {overdueAt, type Report, type Rule} from './rule.ts'

interface Life {
  minutesHeld: number
  stage: 'held' | 'allocated' | 'confirmed' | 'started' | 'over' | 'declined'
  /** When something is due: its end, or, before it stands, that it does. */
  dueMs: number
}

/** A booking lives once, in order, and its hold ends soon after it does. */
export function checkBookings(report: Report): Rule {
  const lives = new Map<string, Life>()

  function step(bookingId: string, from: readonly Life['stage'][], to: Life['stage'], dueMs?: number): void {
    const life = lives.get(bookingId)
    if (life === undefined) return report(`${bookingId} becomes ${to} without a hold`)
    if (!from.includes(life.stage)) report(`${bookingId} becomes ${to} when it is ${life.stage}`)
    life.stage = to
    life.dueMs = Math.min(life.dueMs, dueMs ?? Infinity)
    forget(bookingId, life)
  }

  function forget(bookingId: string, {minutesHeld, stage}: Life): void {
    if (minutesHeld === 0 && (stage === 'over' || stage === 'declined')) lives.delete(bookingId)
  }

  function give(bookingId: string, minutes: number): void {
    const life = lives.get(bookingId)
    if (life === undefined) return
    life.minutesHeld -= minutes
    if (life.stage !== 'over' && life.stage !== 'declined') report(`${bookingId} is settled when it is ${life.stage}`)
    forget(bookingId, life)
  }

  return {
    see({type, data}, _stream, atMs, decidedAt) {
      switch (type) {
        case 'HoursHeld':
          lives.set(data.bookingId, {minutesHeld: data.minutes, stage: 'held', dueMs: atMs})
          return
        case 'SlotAllocated':
          return step(data.bookingId, ['held'], 'allocated')
        case 'SlotDeclined':
          return step(data.bookingId, ['held'], 'declined', atMs)
        case 'BookingConfirmed': {
          step(data.bookingId, ['allocated'], 'confirmed')
          const life = lives.get(data.bookingId)
          if (life !== undefined) life.dueMs = Date.parse(data.terms.interval.end)
          return
        }
        case 'BookingStarted':
          if (data.at > decidedAt) report(`${data.bookingId} starts in the future`)
          return step(data.bookingId, ['confirmed'], 'started')
        case 'BookingEnded':
          return step(data.bookingId, ['confirmed', 'started'], 'over', atMs)
        case 'BookingCancelled':
        case 'BookingFailed':
          return step(data.bookingId, ['confirmed', 'started'], 'over', atMs)
        case 'HoursCaptured':
        case 'HoursReleased':
        case 'HoursCompensated':
          return give(data.bookingId, data.minutes)
        default:
      }
    },
    look(nowMs, calmSinceMs) {
      let nextMs = Infinity
      for (const [bookingId, {stage, dueMs}] of lives) {
        const overdueMs = overdueAt(dueMs, calmSinceMs)
        if (nowMs > overdueMs) {
          report(`${bookingId} is still ${stage} with its hold`)
          lives.delete(bookingId)
        } else nextMs = Math.min(nextMs, overdueMs)
      }
      return nextMs
    },
  }
}
