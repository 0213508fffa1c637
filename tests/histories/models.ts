/**
 * What an account, a pool of machines and a booking are, said once more and as plainly as possible: one thing happens
 * after another, and nothing of the engine's own code is used. Every function here makes one operation of `checker.ts`.
 */
import type {Operation, Specification} from './checker.ts'

export type Made<State> = Pick<Operation<State>, 'isRead' | 'apply'>

export interface AccountState {
  readonly available: number
  readonly held: number
  readonly captured: number
  /**
   * A settlement is two events of one append. Whoever decides or loads sees both or none; read models fold event by
   * event and may be read between the two: then this is what they show.
   */
  readonly midway: {readonly available: number; readonly held: number} | null
}

export const accountSpecification: Specification<AccountState> = {
  initial: {available: 0, held: 0, captured: 0, midway: null},
  keyOf: ({available, held, captured, midway}) => [available, held, captured, midway?.held].join(),
}

const changing = <State>(apply: (state: State) => State | null): Made<State> => ({
  isRead: false,
  apply(state) {
    const next = apply(state)
    return next === null ? [] : [next]
  },
})

const reading = <State>(holds: (state: State) => boolean): Made<State> => ({
  isRead: true,
  apply: state => (holds(state) ? [state] : []),
})

/** Minutes of one account: available, held, captured. */
export const account = {
  grant: (minutes: number) =>
    changing<AccountState>(state => ({...state, available: state.available + minutes, midway: null})),
  hold: (minutes: number) =>
    changing<AccountState>(({available, held, captured}) =>
      available < minutes ? null : {available: available - minutes, held: held + minutes, captured, midway: null},
    ),
  /** The whole hold goes back: no machine was free. */
  release: (minutes: number) =>
    changing<AccountState>(({available, held, captured}) =>
      held < minutes ? null : {available: available + minutes, held: held - minutes, captured, midway: null},
    ),
  /** A cancelled booking is charged for a part, and the rest goes back. */
  settle: (minutes: number, charged: number) =>
    changing<AccountState>(({available, held, captured}) =>
      held < minutes
        ? null
        : {
            available: available + minutes - charged,
            held: held - minutes,
            captured: captured + charged,
            midway: charged === 0 || charged === minutes ? null : {available, held: held - charged},
          },
    ),
  /** A booking refused for want of hours, with what was told of them. */
  refused: (minutes: number, toldAvailable: number) =>
    reading<AccountState>(({available}) => available < minutes && available === toldAvailable),
  /** The state as the store has it. */
  loaded: (told: {readonly available: number; readonly held: number; readonly captured: number}) =>
    reading<AccountState>(
      ({available, held, captured}) => told.available === available && told.held === held && told.captured === captured,
    ),
  /** The balance as a read model has it. */
  read: (told: {readonly available: number; readonly held: number}) =>
    reading<AccountState>(state =>
      [state, state.midway].some(seen => seen?.available === told.available && seen.held === told.held),
    ),
} as const

/** Times in milliseconds since the epoch. */
export interface Slot {
  readonly userId: string
  readonly startMs: number
  readonly endMs: number
}

export interface Allocation extends Slot {
  readonly bookingId: string
  readonly machineId: string
}

/** In order of the bookings' ids. */
export type PoolState = readonly Allocation[]

export interface Buffers {
  readonly warmUpMs: number
  readonly turnaroundMs: number
}

export const poolSpecification: Specification<PoolState> = {
  initial: [],
  keyOf: state => state.map(({bookingId, machineId}) => `${bookingId}@${machineId}`).join(),
}

/** The machines of one pool: none is taken twice, and nobody is sent away while one is free. */
export function poolOf(machineIds: readonly string[], {warmUpMs, turnaroundMs}: Buffers) {
  const collide = (a: Slot, b: Slot): boolean => {
    const touch = a.endMs === b.startMs || b.endMs === a.startMs
    if (a.userId === b.userId && touch) return false
    return a.startMs - warmUpMs < b.endMs + turnaroundMs && b.startMs - warmUpMs < a.endMs + turnaroundMs
  }
  const isFree = (state: PoolState, machineId: string, slot: Slot): boolean =>
    !state.some(taken => taken.machineId === machineId && collide(taken, slot))
  const freeOf = (state: PoolState, slot: Slot): readonly string[] =>
    machineIds.filter(machineId => isFree(state, machineId, slot))

  /** The first whole minute from the wish on at which a machine is free for as long. */
  const earliestMs = (state: PoolState, wish: Slot): number => {
    const lengthMs = wish.endMs - wish.startMs
    const starts = state.flatMap(({startMs, endMs}) => [endMs + turnaroundMs + warmUpMs, endMs, startMs - lengthMs])
    return starts
      .map(ms => Math.ceil(ms / 60_000) * 60_000)
      .filter(ms => ms >= wish.startMs && freeOf(state, {...wish, startMs: ms, endMs: ms + lengthMs}).length > 0)
      .reduce((least, ms) => Math.min(least, ms), Infinity)
  }

  return {
    /** `machineId` null: nobody was told which. */
    allocate: (bookingId: string, machineId: string | null, slot: Slot): Made<PoolState> => ({
      isRead: false,
      apply: state =>
        freeOf(state, slot)
          .filter(free => machineId === null || free === machineId)
          .map(free => withAllocation(state, {bookingId, machineId: free, ...slot})),
    }),
    /** Refused because no machine was free, with the time from which one is. */
    declined: (slot: Slot, untilMs: number) =>
      reading<PoolState>(state => freeOf(state, slot).length === 0 && earliestMs(state, slot) === untilMs),
    giveBack: (bookingId: string) =>
      changing<PoolState>(state => {
        const left = state.filter(taken => taken.bookingId !== bookingId)
        return left.length === state.length ? null : left
      }),
    /** The slots offered, of all those asked about: how many machines are free for each that has any. */
    offered: (asked: readonly Slot[], told: ReadonlyMap<number, number>) =>
      reading<PoolState>(state => asked.every(slot => freeOf(state, slot).length === (told.get(slot.startMs) ?? 0))),
  } as const
}

function withAllocation(state: PoolState, added: Allocation): PoolState {
  const index = state.findIndex(({bookingId}) => bookingId > added.bookingId)
  return index < 0 ? [...state, added] : state.toSpliced(index, 0, added)
}

/** Null: not there yet. */
export type BookingState = {readonly cancelledBy: string | null} | null

export const bookingSpecification: Specification<BookingState> = {
  initial: null,
  keyOf: state => (state === null ? 'none' : (state.cancelledBy ?? 'confirmed')),
}

/** One booking: it is cancelled once. */
export const booking = {
  confirm: () => changing<BookingState>(state => (state === null ? {cancelledBy: null} : null)),
  cancel: (key: string) => changing<BookingState>(state => (state?.cancelledBy === null ? {cancelledBy: key} : null)),
  /** Cancelled before, by another call. */
  tooLate: (key: string) =>
    reading<BookingState>(state => state !== null && state.cancelledBy !== null && state.cancelledBy !== key),
  read: (told: 'none' | 'confirmed' | 'cancelled') =>
    reading<BookingState>(
      state => told === (state === null ? 'none' : state.cancelledBy === null ? 'confirmed' : 'cancelled'),
    ),
} as const
