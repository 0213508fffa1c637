import {overdueAt, type Known, type LogRule, type Report} from './rule-of-log.ts'

interface Session {
  readonly userId: string
  readonly minutes: number
  readonly startMs: number
  readonly endMs: number
  isStarted: boolean
  /** When the last moment of it was that the log speaks of. */
  lastMs: number
  /** Since when there was no machine; null while there is one. */
  downSinceMs: number | null
  lostMs: number
  /** The calendar has moved it: since when the booking should follow. */
  movedMs: number | null
}

interface Outcome {
  used: number
  lost: number
  /** Since when the slot should be given back; null when it is, or was used up. */
  slotOwedMs: number | null
  readonly endMs: number
}

type Over = Extract<Known, {type: 'BookingEnded' | 'BookingCancelled' | 'BookingFailed'}>

/** A session's moments come in order, it is charged for what it had of a machine, and leaves nothing behind. */
export function checkSessions(report: Report, isOperator: (userId: string) => boolean): LogRule {
  const sessions = new Map<string, Session>()
  const outcomes = new Map<string, Outcome>()
  const slotEnds = new Map<string, number>()

  function moment(bookingId: string, at: string): {session: Session; atMs: number} | null {
    const session = sessions.get(bookingId)
    if (session === undefined) return null
    const atMs = Date.parse(at)
    if (atMs < session.lastMs) report(`${bookingId} goes back in time, to ${at}`)
    if (atMs < session.startMs || atMs > session.endMs) report(`${bookingId} has a moment outside itself, at ${at}`)
    session.lastMs = atMs
    return {session, atMs}
  }

  function comesUp(bookingId: string, at: string): Session | null {
    const known = moment(bookingId, at)
    if (known === null) return null
    const {session, atMs} = known
    if (session.downSinceMs === null) report(`${bookingId} got its machine back while it had it`)
    else session.lostMs += Math.max(0, atMs - session.downSinceMs)
    session.downSinceMs = null
    return session
  }

  function over({type, data}: Over): void {
    const {bookingId, usedMinutes, lostMinutes} = data
    const session = sessions.get(bookingId)
    if (session === undefined) return
    sessions.delete(bookingId)
    const atMs = Date.parse(data.at)
    const isByStranger = type === 'BookingCancelled' && data.by !== session.userId && !isOperator(data.by)
    if (isByStranger) report(`${bookingId} was cancelled by a stranger, ${data.by}`)
    if (type === 'BookingCancelled' && atMs >= session.endMs) report(`${bookingId} was cancelled after its end`)
    const due = type === 'BookingEnded' ? settledOf(session, session.endMs) : settledOf(session, atMs)
    if (usedMinutes !== due.used || lostMinutes !== due.lost) {
      const wrongly = session.isStarted ? `instead of ${due.used} used, ${due.lost} lost` : 'without a machine'
      report(`${bookingId} was charged ${usedMinutes} used, ${lostMinutes} lost ${wrongly}`)
    }
    const left = atMs < session.endMs
    outcomes.set(bookingId, {
      used: usedMinutes,
      lost: lostMinutes,
      slotOwedMs: left ? atMs : null,
      endMs: session.endMs,
    })
    forget(bookingId)
  }

  function settle(bookingId: string, part: 'used' | 'lost', minutes: number): void {
    const outcome = outcomes.get(bookingId)
    if (outcome === undefined) return
    if (outcome[part] !== minutes) report(`${bookingId} was settled with ${minutes} ${part}, not ${outcome[part]}`)
    outcome[part] = 0
    forget(bookingId)
  }

  function forget(bookingId: string): void {
    const outcome = outcomes.get(bookingId)
    if (outcome?.used === 0 && outcome.lost === 0 && outcome.slotOwedMs === null) outcomes.delete(bookingId)
  }

  return {
    see(event, {decidedMs}) {
      const {type, data} = event
      switch (type) {
        case 'BookingConfirmed': {
          const {interval, userId, minutes} = data.terms
          const [startMs, endMs] = [Date.parse(interval.start), Date.parse(interval.end)]
          const begin = {isStarted: false, lastMs: startMs, downSinceMs: startMs, lostMs: 0, movedMs: null}
          sessions.set(data.bookingId, {userId, minutes, startMs, endMs, ...begin})
          return
        }
        case 'BookingStarted': {
          const session = comesUp(data.bookingId, data.at)
          if (session !== null) session.isStarted = true
          return
        }
        case 'BookingResumed':
          comesUp(data.bookingId, data.at)
          return
        case 'BookingInterrupted': {
          const known = moment(data.bookingId, data.at)
          if (known === null) return
          const {session, atMs} = known
          if (session.downSinceMs !== null) report(`${data.bookingId} was interrupted when it was down`)
          session.downSinceMs = atMs
          return
        }
        case 'AllocationFailedOver': {
          const session = sessions.get(data.bookingId)
          if (session !== undefined) session.movedMs = decidedMs
          return
        }
        case 'BookingFailedOver': {
          const session = sessions.get(data.bookingId)
          if (session !== undefined) session.movedMs = null
          return
        }
        case 'BookingEnded':
        case 'BookingCancelled':
        case 'BookingFailed':
          return over(event)
        case 'SlotAllocated':
          slotEnds.set(data.bookingId, Date.parse(data.interval.end))
          return
        case 'AllocationShortened': {
          const endMs = Date.parse(data.end)
          const isShorter = endMs < (slotEnds.get(data.bookingId) ?? Infinity)
          if (!isShorter) report(`the slot of ${data.bookingId} was shortened to no earlier end`)
          slotEnds.set(data.bookingId, endMs)
          const outcome = outcomes.get(data.bookingId)
          if (outcome === undefined) return
          outcome.slotOwedMs = null
          forget(data.bookingId)
          return
        }
        case 'HoursCaptured':
          return settle(data.bookingId, 'used', data.minutes)
        case 'HoursCompensated':
          return settle(data.bookingId, 'lost', data.minutes)
        default:
      }
    },
    look(nowMs, calmSinceMs) {
      let nextMs = Infinity
      const isLate = (sinceMs: number): boolean => {
        const overdueMs = overdueAt(sinceMs, calmSinceMs)
        if (nowMs > overdueMs) return true
        nextMs = Math.min(nextMs, overdueMs)
        return false
      }
      for (const [bookingId, session] of sessions) {
        if (session.movedMs === null || !isLate(session.movedMs)) continue
        report(`${bookingId} did not follow its allocation`)
        session.movedMs = null
      }
      for (const [bookingId, {slotOwedMs, endMs}] of outcomes) {
        // A slot that is over is of no use to anybody, and the calendar may have forgotten it.
        if (slotOwedMs === null || nowMs >= endMs || !isLate(slotOwedMs)) continue
        report(`${bookingId} keeps the slot it does not need`)
        outcomes.delete(bookingId)
      }
      return nextMs
    },
  }
}

/** Every minute begun until `atMs` was had or, whole minutes only, lost; all is lost where no machine ever came. */
function settledOf(session: Session, atMs: number): {used: number; lost: number} {
  const {minutes, startMs, downSinceMs, isStarted, lostMs} = session
  const elapsed = Math.min(minutes, Math.max(0, Math.ceil((atMs - startMs) / 60_000)))
  const downMs = downSinceMs === null ? 0 : Math.max(0, atMs - downSinceMs)
  const lost = isStarted ? Math.min(elapsed, Math.floor((lostMs + downMs) / 60_000)) : elapsed
  return {used: elapsed - lost, lost}
}
