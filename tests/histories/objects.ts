/**
 * Takes a history apart into the histories of single objects: every account, every pool, every booking. Linearizability
 * is a local property (Herlihy and Wing 1990): a history is linearizable if and only if that of each object is.
 *
 * What each call promises, and so what it is checked for:
 *
 * - Grants, bookings, cancellations, their refusals, and `load` (the handler's own read) are linearizable: they take
 *   effect between call and answer, on the store itself, whichever node they went through.
 * - A booking moves across streams, one append each (design.md, section 3). It holds the hours, takes a machine, confirms;
 *   a declined one holds the hours and gives them back, both between call and answer, and others may see it in between.
 * - What follows a cancellation (hours settled, machine given back) is done by the processes, some time after the call.
 * - Queries read one node's read model: a state that was there at some time before the answer, never older than what
 *   the caller has written itself and been told the position of (it goes with the query) or has written through this
 *   node, and never older than what this node has shown anybody before. It may be older than what others have written:
 *   so `after`, and no earliest time. GraphQL's refusals tell no position: what a declined booking gave back is there
 *   at once through the same node only.
 * - A call without an answer happened at some time, or never; where an observer of the log tells which, and by when, that
 *   counts. An unanswered read says nothing.
 */
import type {Operation, Specification} from './checker.ts'
import type {Call, Entry, History, SlotWindow} from './history.ts'
import {
  account,
  accountSpecification,
  booking,
  bookingSpecification,
  poolOf,
  poolSpecification,
  type AccountState,
  type BookingState,
  type Made,
  type PoolState,
  type Slot,
} from './models.ts'

export interface ObjectHistory<State> {
  readonly name: string
  readonly specification: Specification<State>
  readonly operations: readonly Operation<State>[]
}

export type AnyObject = ObjectHistory<AccountState> | ObjectHistory<PoolState> | ObjectHistory<BookingState>

const minuteMs = 60_000

export function objectsOf(history: History): readonly AnyObject[] {
  const accounts = new Set(history.entries.flatMap(({call}) => ('account' in call ? [call.account] : [])))
  const bookings = history.entries.flatMap(({call, answer}) =>
    call.type === 'book' && answer?.type === 'booked' ? [call.bookingId] : [],
  )
  return [
    ...[...accounts].map(name => accountHistory(history, name)),
    ...Object.keys(history.pools).map(name => poolHistory(history, name)),
    ...bookings.map(name => bookingHistory(history, name)),
  ]
}

/** Collects one object's operations and knows what comes before what. */
function createList<State>() {
  const operations: Operation<State>[] = []
  /** By client, and by client and node. */
  const lastOwn = new Map<string, number>()
  /** Of each node, the reads that no later read of that node has followed yet. */
  const shown = new Map<string, readonly number[]>()
  const label = ({client, node, call}: Entry, what: string): string =>
    `${what} (client ${client}, ${node === '' ? 'unanswered' : node}, ${JSON.stringify(call)})`

  const add = (
    entry: Entry,
    what: string,
    made: Made<State>,
    more: {readonly after?: readonly number[]; readonly answeredAt?: number} = {},
  ): number => {
    const {calledAt} = entry
    const {after = [], answeredAt = entry.answeredAt} = more
    return operations.push({label: label(entry, what), calledAt, answeredAt, after, ...made}) - 1
  }
  return {
    operations,
    add,
    /** What its caller was told of, and so reads from then on. */
    addOwn(entry: Entry, what: string, made: Made<State>, after: readonly number[] = []): number {
      const index = add(entry, what, made, {after})
      if (entry.answer !== null) lastOwn.set(`${entry.client} ${entry.node}`, index)
      if (entry.toldPosition) lastOwn.set(String(entry.client), index)
      return index
    },
    /** From a read model. To be added in the order of the answers. */
    addRead(entry: Entry, what: string, made: Made<State>): void {
      const {client, node, calledAt, answeredAt} = entry
      const own = [lastOwn.get(String(client)), lastOwn.get(`${client} ${node}`)].filter(index => index !== undefined)
      const before = shown.get(node) ?? []
      const earlier = before.filter(index => (operations[index]?.answeredAt ?? 0) < calledAt)
      const after = [...own, ...earlier]
      const earliest = own.reduce((latest, index) => Math.max(latest, operations[index]?.calledAt ?? -1), -1)
      const index = operations.push({label: label(entry, what), calledAt: earliest, answeredAt, after, ...made}) - 1
      shown.set(node, [...before.filter(other => !earlier.includes(other)), index])
    },
    /** What the engine owes or may have done for a call, by itself: when, the observer tells; not at all, if it says so. */
    addSeen(
      entry: Entry,
      what: string,
      made: Made<State>,
      more: {readonly seen: History['seen']; readonly key: string; readonly after?: readonly number[]},
    ): number | null {
      const {seen, key, after = []} = more
      const answeredAt = seen === null ? Infinity : seen.times.get(key)
      if (answeredAt === undefined) return null
      // Calls and answers are counted in whole numbers.
      const calledAt = seen?.isAtOnce === true ? answeredAt - 0.5 : entry.calledAt
      return add({...entry, calledAt}, what, made, {after, answeredAt})
    },
  }
}

const byAnswer = (entries: readonly Entry[]): readonly Entry[] =>
  entries.toSorted((a, b) => (a.answeredAt === b.answeredAt ? a.calledAt - b.calledAt : a.answeredAt - b.answeredAt))

/** The call that cancelled a booking, or may have; what follows from it has been possible since then. */
function cancelOf(entries: readonly Entry[], bookingId: string): Entry | null {
  const cancels = entries.filter(({call}) => call.type === 'cancel' && call.booking.bookingId === bookingId)
  const done = cancels.find(({answer}) => answer?.type === 'cancelled')
  return done ?? cancels.find(({answer}) => answer === null) ?? null
}

function accountHistory(history: History, name: string): ObjectHistory<AccountState> {
  const {seen, chargePercent} = history
  const list = createList<AccountState>()
  for (const entry of byAnswer(history.entries)) {
    const {call, answer} = entry
    if (!('account' in call) || call.account !== name) continue
    if (call.type === 'grant') list.addOwn(entry, 'grant', account.grant(call.minutes))
    else if (call.type === 'book') addHours(list, history, entry, call)
    else if (answer?.type === 'loaded') list.add(entry, `load ${text(answer)}`, account.loaded(answer))
    else if (answer?.type === 'balance') list.addRead(entry, `read ${text(answer)}`, account.read(answer))
  }
  return {name: `account ${name}`, specification: accountSpecification, operations: list.operations}

  function addHours(to: typeof list, {entries}: History, entry: Entry, call: Extract<Call, {type: 'book'}>): void {
    const {answer} = entry
    const {bookingId, minutes} = call
    if (answer?.type === 'insufficient') {
      // Nothing was written: a query may still show what was there before the state this was decided on.
      to.add(entry, `refused, ${answer.available} left`, account.refused(minutes, answer.available))
      return
    }
    if (answer === null) {
      const hold = to.addSeen(entry, 'hold', account.hold(minutes), {seen, key: `held ${bookingId}`})
      const more = {seen, key: `released ${bookingId}`, after: hold === null ? [] : [hold]}
      to.addSeen(entry, 'release', account.release(minutes), more)
      return
    }
    const hold = to.addOwn(entry, 'hold', account.hold(minutes))
    if (answer.type === 'taken') to.addOwn(entry, 'release', account.release(minutes), [hold])
    const cancel = cancelOf(entries, bookingId)
    if (cancel === null) return
    const settle = account.settle(minutes, Math.floor((minutes * chargePercent) / 100))
    to.addSeen(cancel, `settle ${minutes}`, settle, {seen, key: `settled ${bookingId}`, after: [hold]})
  }
}

function poolHistory(history: History, name: string): ObjectHistory<PoolState> {
  const {seen, entries, slotStepMinutes} = history
  const list = createList<PoolState>()
  const pool = poolOf(history.pools[name] ?? [], {
    warmUpMs: history.warmUpMinutes * minuteMs,
    turnaroundMs: history.turnaroundMinutes * minuteMs,
  })
  for (const entry of byAnswer(entries)) {
    const {call, answer} = entry
    if (!('pool' in call) || call.pool !== name) continue
    if (call.type === 'slots') {
      if (answer?.type !== 'slots') continue
      const asked = askedFor(call.window, call.account, slotStepMinutes)
      list.addRead(entry, `slots ${JSON.stringify(answer.slots)}`, pool.offered(asked, new Map(answer.slots)))
      continue
    }
    const {bookingId} = call
    const slot = slotOf(call)
    if (answer === null) {
      const key = `allocated ${bookingId}`
      list.addSeen(entry, 'allocate', pool.allocate(bookingId, null, slot), {seen, key})
    } else if (answer.type === 'taken') {
      list.addOwn(entry, 'declined', pool.declined(slot, answer.untilMs))
    } else if (answer.type === 'booked') {
      const made = pool.allocate(bookingId, answer.machineId, slot)
      const allocated = list.addOwn(entry, `allocate ${answer.machineId ?? 'some machine'}`, made)
      const cancel = cancelOf(entries, bookingId)
      const more = {seen, key: `freed ${bookingId}`, after: [allocated]}
      if (cancel !== null) list.addSeen(cancel, 'give back', pool.giveBack(bookingId), more)
    }
  }
  return {name: `pool ${name}`, specification: poolSpecification, operations: list.operations}
}

function bookingHistory(history: History, bookingId: string): ObjectHistory<BookingState> {
  const list = createList<BookingState>()
  for (const entry of byAnswer(history.entries)) {
    const {call, answer} = entry
    if (call.type === 'book' && call.bookingId === bookingId) {
      list.addOwn(entry, 'confirm', booking.confirm())
    } else if (call.type === 'cancel' && call.booking.bookingId === bookingId) {
      if (answer?.type === 'alreadyCancelled') list.add(entry, 'cancelled before', booking.tooLate(call.key))
      else list.addOwn(entry, 'cancel', booking.cancel(call.key))
    } else if (call.type === 'booking' && call.booking.bookingId === bookingId && answer?.type === 'booking') {
      list.addRead(entry, `read ${answer.status}`, booking.read(answer.status))
    }
  }
  return {name: `booking ${bookingId}`, specification: bookingSpecification, operations: list.operations}
}

function slotOf({account, startMs, minutes}: {account: string; startMs: number; minutes: number}): Slot {
  return {userId: account, startMs, endMs: startMs + minutes * minuteMs}
}

function askedFor({fromMs, toMs, minutes}: SlotWindow, account: string, stepMinutes: number): readonly Slot[] {
  const stepMs = stepMinutes * minuteMs
  const first = Math.ceil(fromMs / stepMs)
  const count = Math.max(0, Math.ceil(toMs / stepMs) - first)
  return Array.from({length: count}, (_, index) => slotOf({account, startMs: (first + index) * stepMs, minutes}))
}

function text(answer: {readonly available: number; readonly held: number; readonly captured?: number}): string {
  return [answer.available, answer.held, answer.captured].filter(part => part !== undefined).join('/')
}
