/** A history: who called what, when they were answered, and what else was seen to happen. */

export interface Wish {
  readonly account: string
  readonly pool: string
  readonly startMs: number
  readonly minutes: number
}

export type Call =
  | {readonly type: 'grant'; readonly account: string; readonly minutes: number}
  | ({readonly type: 'book'; readonly key: string} & Booked)
  | {readonly type: 'cancel'; readonly key: string; readonly booking: Booked}
  | {readonly type: 'load'; readonly account: string}
  | {readonly type: 'balance'; readonly account: string}
  | {readonly type: 'slots'; readonly account: string; readonly pool: string; readonly window: SlotWindow}
  | {readonly type: 'booking'; readonly booking: Booked}

export interface Booked extends Wish {
  /** Follows from who asks and the key: known before it is booked. */
  readonly bookingId: string
}

export interface SlotWindow {
  readonly fromMs: number
  readonly toMs: number
  readonly minutes: number
}

export type Answer =
  | {readonly type: 'granted'}
  /** Null: nobody said which machine. */
  | {readonly type: 'booked'; readonly machineId: string | null}
  | {readonly type: 'taken'; readonly untilMs: number}
  | {readonly type: 'insufficient'; readonly available: number}
  | {readonly type: 'cancelled'}
  | {readonly type: 'alreadyCancelled'}
  | {readonly type: 'loaded'; readonly available: number; readonly held: number; readonly captured: number}
  | {readonly type: 'balance'; readonly available: number; readonly held: number}
  /** Start in milliseconds since the epoch and free machines, of each slot that has any. */
  | {readonly type: 'slots'; readonly slots: readonly (readonly [startMs: number, freeMachines: number])[]}
  | {readonly type: 'booking'; readonly status: 'none' | 'confirmed' | 'cancelled'}

/** One call. Its times count calls and answers, so that no two are equal. */
export interface Entry {
  readonly client: number
  /** Who answered; the last one asked, if nobody did. */
  readonly node: string
  readonly call: Call
  readonly calledAt: number
  /** Infinity: never. */
  readonly answeredAt: number
  readonly answer: Answer | null
  /** The answer told its position in the log, which the client sends along from then on, to whatever node. */
  readonly toldPosition: boolean
}

export interface History {
  readonly name: string
  readonly pools: Readonly<Record<string, readonly string[]>>
  readonly warmUpMinutes: number
  readonly turnaroundMinutes: number
  readonly slotStepMinutes: number
  /** Charged when a booking is cancelled. */
  readonly chargePercent: number
  readonly entries: readonly Entry[]
  /**
   * What an observer of the log saw of every booking, as `held <id>`, `allocated <id>`, `released <id>` (not settled: it
   * was declined), `settled <id>` and `freed <id>`, with the time by which it had happened. Calls that were never
   * answered, and what follows a cancellation after its answer, are bounded by it; null: nobody observed.
   */
  readonly seen: Observed | null
}

export interface Observed {
  readonly times: ReadonlyMap<string, number>
  /** The observer sits in the store and sees everything as it is written: it happened at that time, and not before. */
  readonly isAtOnce: boolean
}

/** Collects entries while the clients run. Everything happens in one process, so counting is a clock without doubt. */
export interface Recorder {
  /** Notes a call; the answer is noted with what this returns, once, or never. */
  call(client: number, call: Call): (node: string, answer: Answer, toldPosition: boolean) => void
  /** Notes what an observer of the log sees for the first time. */
  see(what: string): void
  entries(): readonly Entry[]
  /** When what was first seen. */
  readonly times: ReadonlyMap<string, number>
}

export function createRecorder(): Recorder {
  const entries: Entry[] = []
  const times = new Map<string, number>()
  let time = 0
  return {
    call(client, call) {
      const open: Entry = {client, node: '', call, calledAt: time++, answeredAt: Infinity, ...unanswered}
      const index = entries.push(open) - 1
      return (node, answer, toldPosition) => {
        entries[index] = {...open, node, answer, toldPosition, answeredAt: time++}
      }
    },
    see(what) {
      if (!times.has(what)) times.set(what, time++)
    },
    entries: () => entries,
    times,
  }
}

const unanswered = {answer: null, toldPosition: false} as const

/** Whether everything has come that follows from what was cancelled, as far as an observer can tell. */
export function isFollowedUp(recorder: Recorder): boolean {
  const {times} = recorder
  return cancelledIn(recorder.entries()).every(id => times.has(`settled ${id}`) && times.has(`freed ${id}`))
}

export function cancelledIn(entries: readonly Entry[]): readonly string[] {
  return entries.flatMap(({call, answer}) =>
    call.type === 'cancel' && answer?.type === 'cancelled' ? [call.booking.bookingId] : [],
  )
}

/** For people who want to look into one: a call a line, in the order of the calls. */
export function asText({entries, seen, ...rest}: History): string {
  const times = seen === null ? null : [...seen.times]
  return [
    `{"history": ${JSON.stringify(rest)},`,
    `"seen": ${JSON.stringify(times)},`,
    `"entries": [\n${entries.map(entry => JSON.stringify(entry)).join(',\n')}\n]}\n`,
  ].join('\n')
}
