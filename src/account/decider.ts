import {accept, assertNever, fold, refuse, type Decider, type Decision} from '../kernel/decider.ts'
import type {BookingId, GrantId} from '../kernel/ids.ts'
import {emptyMap, drop, lookUp, put, type PersistentMap} from '../kernel/persistent-map.ts'
import {wishOf, type BookingTerms} from '../kernel/terms.ts'
import type {Instant} from '../kernel/time.ts'
import {accountCategory, type AccountEvent, type Draw, type GrantSource, type ReleaseReason} from './events.ts'

export type AccountCommand =
  | {
      readonly type: 'GrantHours'
      readonly grantId: GrantId
      readonly minutes: number
      readonly source: GrantSource
      readonly priority: number
      /** Null: from now on. */
      readonly effectiveAt: Instant | null
      readonly expiresAt: Instant | null
    }
  | {readonly type: 'HoldHours'; readonly bookingId: BookingId; readonly terms: BookingTerms}
  /** Gives the whole hold back: the booking did not come about. */
  | {readonly type: 'ReleaseHold'; readonly bookingId: BookingId; readonly reason: ReleaseReason}
  /** Ends a hold: so much was used, so much was lost by our fault, the rest goes back. */
  | {
      readonly type: 'SettleHold'
      readonly bookingId: BookingId
      readonly usedMinutes: number
      readonly lostMinutes: number
      readonly reason: ReleaseReason
    }

export type AccountRefusal =
  | {readonly type: 'InsufficientHours'; readonly availableMinutes: number; readonly neededMinutes: number}
  | {readonly type: 'CommandIdReused'}
  | {readonly type: 'NoSuchHold'; readonly bookingId: BookingId}

/** granted = available + held + captured + expired, at every event. */
export interface Grant {
  readonly grantId: GrantId
  readonly minutes: number
  readonly source: GrantSource
  readonly available: number
  readonly held: number
  readonly captured: number
  readonly expired: number
  readonly priority: number
  readonly effectiveAt: Instant
  readonly expiresAt: Instant | null
}

export interface Hold {
  readonly terms: BookingTerms
  readonly draws: readonly Draw[]
}

/** What a hold became; kept for ever, so that a late repeat of the command finds its answer. */
export interface EndedHold {
  readonly wish: string
  /** The answer the customer got when the booking did not come about; null when it did. */
  readonly refusal: {readonly type: string} | null
}

export interface AccountState {
  readonly grants: readonly Grant[]
  readonly holds: PersistentMap<Hold>
  readonly ended: PersistentMap<EndedHold>
}

/** Minutes that can be held at `now`. */
export function availableMinutes(state: AccountState, now: Instant): number {
  return state.grants.filter(grant => isDrawable(grant, now)).reduce((sum, grant) => sum + grant.available, 0)
}

export const account: Decider<AccountState, AccountCommand, AccountEvent, AccountRefusal> = {
  category: accountCategory,
  initial: {grants: [], holds: emptyMap(), ended: emptyMap()},

  decide(command, state, {now}) {
    const decision = decideCommand(command, state, now)
    if (!decision.ok || decision.events.length === 0) return decision
    return accept(...decision.events, ...expiryOf(fold(account, state, decision.events), now))
  },

  evolve(state, event) {
    switch (event.type) {
      case 'HoursGranted': {
        const {grantId, minutes, source, priority, effectiveAt, expiresAt} = event.data
        const grant = {grantId, minutes, source, available: minutes, held: 0, captured: 0, expired: 0}
        return {...state, grants: [...state.grants, {...grant, priority, effectiveAt, expiresAt}]}
      }
      case 'HoursHeld': {
        const {bookingId, terms, draws} = event.data
        const holds = put(state.holds, bookingId, {terms, draws})
        return {...state, holds, grants: moved(state.grants, draws, 'available', 'held')}
      }
      case 'HoursCaptured':
        return afterSettling(state, event.data, 'captured', null)
      case 'HoursCompensated':
        return afterSettling(state, event.data, 'available', null)
      case 'HoursReleased':
        return afterSettling(state, event.data, 'available', event.data.reason)
      case 'HoursExpired': {
        const {grantId, minutes} = event.data
        return {...state, grants: moved(state.grants, [{grantId, minutes}], 'available', 'expired')}
      }
      default:
        return assertNever(event)
    }
  },
}

function decideCommand(
  command: AccountCommand,
  state: AccountState,
  now: Instant,
): Decision<AccountEvent, AccountRefusal> {
  switch (command.type) {
    case 'GrantHours': {
      const {grantId, minutes, source, priority, expiresAt} = command
      const known = state.grants.find(grant => grant.grantId === grantId)
      if (known !== undefined) return isGrantOf(known, command) ? accept() : refuse({type: 'CommandIdReused'})
      const effectiveAt = command.effectiveAt ?? now
      return accept({type: 'HoursGranted', data: {grantId, minutes, source, priority, effectiveAt, expiresAt}})
    }
    case 'HoldHours':
      return decideHold(command.bookingId, command.terms, state, now)
    case 'ReleaseHold': {
      const hold = lookUp(state.holds, command.bookingId)
      if (hold === undefined) return withoutHold(state, command.bookingId)
      return accept(released(command.bookingId, hold.draws, command.reason))
    }
    case 'SettleHold': {
      const hold = lookUp(state.holds, command.bookingId)
      if (hold === undefined) return withoutHold(state, command.bookingId)
      return accept(...settlement(command, hold))
    }
    default:
      return assertNever(command)
  }
}

function isGrantOf(grant: Grant, command: Extract<AccountCommand, {type: 'GrantHours'}>): boolean {
  const {minutes, source, priority, expiresAt} = command
  // A repeat of "from now on" comes later than the first.
  const effectiveAt = command.effectiveAt ?? grant.effectiveAt
  if (grant.minutes !== minutes || grant.priority !== priority) return false
  if (grant.effectiveAt !== effectiveAt || grant.expiresAt !== expiresAt) return false
  if (grant.source.type === 'purchase') {
    return source.type === 'purchase' && source.purchaseId === grant.source.purchaseId
  }
  return source.type === 'operator' && source.reason === grant.source.reason
}

function decideHold(
  bookingId: BookingId,
  terms: BookingTerms,
  state: AccountState,
  now: Instant,
): Decision<AccountEvent, AccountRefusal> {
  const open = lookUp(state.holds, bookingId)
  const wish = open === undefined ? lookUp(state.ended, bookingId)?.wish : wishOf(open.terms)
  if (wish !== undefined) return wish === wishOf(terms) ? accept() : refuse({type: 'CommandIdReused'})

  const available = availableMinutes(state, now)
  if (available < terms.minutes) {
    return refuse({type: 'InsufficientHours', availableMinutes: available, neededMinutes: terms.minutes})
  }
  const draws = drawFrom(state.grants, terms.minutes, now)
  return accept({type: 'HoursHeld', data: {bookingId, minutes: terms.minutes, draws, terms}})
}

/** A hold that has ended stays ended; a hold that never was is a mistake of the caller's. */
function withoutHold(state: AccountState, bookingId: BookingId): Decision<AccountEvent, AccountRefusal> {
  return lookUp(state.ended, bookingId) === undefined ? refuse({type: 'NoSuchHold', bookingId}) : accept()
}

function settlement(command: Extract<AccountCommand, {type: 'SettleHold'}>, hold: Hold): AccountEvent[] {
  const {bookingId, reason} = command
  const used = split(hold.draws, command.usedMinutes)
  const lost = split(used.rest, command.lostMinutes)
  const events: AccountEvent[] = []
  if (used.taken.length > 0) {
    events.push({type: 'HoursCaptured', data: {bookingId, minutes: total(used.taken), draws: used.taken}})
  }
  if (lost.taken.length > 0) {
    events.push({type: 'HoursCompensated', data: {bookingId, minutes: total(lost.taken), draws: lost.taken}})
  }
  // A hold of no minutes ends as well.
  if (lost.rest.length > 0 || events.length === 0) events.push(released(bookingId, lost.rest, reason))
  return events
}

function released(bookingId: BookingId, draws: readonly Draw[], reason: ReleaseReason): AccountEvent {
  return {type: 'HoursReleased', data: {bookingId, minutes: total(draws), draws: [...draws], reason}}
}

function expiryOf(state: AccountState, now: Instant): AccountEvent[] {
  return state.grants
    .filter(grant => grant.expiresAt !== null && grant.expiresAt <= now && grant.available > 0)
    .map(({grantId, available}) => ({type: 'HoursExpired', data: {grantId, minutes: available}}))
}

function isDrawable(grant: Grant, now: Instant): boolean {
  return grant.available > 0 && grant.effectiveAt <= now && (grant.expiresAt === null || grant.expiresAt > now)
}

/** By priority, then what expires first, then what came first. */
function drawFrom(grants: readonly Grant[], minutes: number, now: Instant): Draw[] {
  const inOrder = grants.filter(grant => isDrawable(grant, now)).sort(byDrawingOrder)
  return split(
    inOrder.map(({grantId, available}) => ({grantId, minutes: available})),
    minutes,
  ).taken
}

const never = '9999-12-31T23:59:59.999Z'

function byDrawingOrder(a: Grant, b: Grant): number {
  return (
    a.priority - b.priority ||
    compareText(a.expiresAt ?? never, b.expiresAt ?? never) ||
    compareText(a.effectiveAt, b.effectiveAt) ||
    compareText(a.grantId, b.grantId)
  )
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** The first `minutes` of the draws, and what is left of them. */
function split(draws: readonly Draw[], minutes: number): {taken: Draw[]; rest: Draw[]} {
  const taken: Draw[] = []
  const rest: Draw[] = []
  let missing = minutes
  for (const draw of draws) {
    const part = Math.min(draw.minutes, missing)
    missing -= part
    if (part > 0) taken.push({grantId: draw.grantId, minutes: part})
    if (draw.minutes > part) rest.push({grantId: draw.grantId, minutes: draw.minutes - part})
  }
  return {taken, rest}
}

function total(draws: readonly Draw[]): number {
  return draws.reduce((sum, draw) => sum + draw.minutes, 0)
}

type Bucket = 'available' | 'held' | 'captured' | 'expired'

function moved(grants: readonly Grant[], draws: readonly Draw[], from: Bucket, to: Bucket): readonly Grant[] {
  return grants.map(grant => {
    const minutes = total(draws.filter(draw => draw.grantId === grant.grantId))
    return minutes === 0 ? grant : {...grant, [from]: grant[from] - minutes, [to]: grant[to] + minutes}
  })
}

/** A settlement is up to three events of one append; the hold shrinks with each and ends with its last minute. */
function afterSettling(
  state: AccountState,
  data: {readonly bookingId: BookingId; readonly draws: readonly Draw[]},
  to: Bucket,
  reason: ReleaseReason | null,
): AccountState {
  const hold = lookUp(state.holds, data.bookingId)
  const grants = moved(state.grants, data.draws, 'held', to)
  if (hold === undefined) return {...state, grants}
  const rest = split(hold.draws, total(data.draws)).rest
  if (rest.length > 0) return {...state, grants, holds: put(state.holds, data.bookingId, {...hold, draws: rest})}
  const ended: EndedHold = {wish: wishOf(hold.terms), refusal: reason?.type === 'refused' ? reason.refusal : null}
  return {
    grants,
    holds: drop(state.holds, data.bookingId),
    ended: put(state.ended, data.bookingId, ended),
  }
}
