import {fold, type Decider, type Decision} from '../kernel/decider.ts'
import type {AnyEvent} from '../kernel/messages.ts'
import type {Instant} from '../kernel/time.ts'
import {eventIdOf, type CommandMeta, type Handled, type HandlerLimits, type HandlerParts} from './command.ts'
import {OutcomeUnknown, WrongExpectedRevision, type NewEvent, type RecordedEvent} from './port.ts'

/**
 * One stream's queue of commands and its folded state. Commands are decided in the order they came; those that came
 * while an append was under way are decided together next.
 */
export interface Lane {
  submit(command: unknown, meta: CommandMeta, isNew: boolean): Promise<Handled<unknown, AnyEvent, unknown>>
  load(): Promise<unknown>
  isIdle(): boolean
}

/** The stream changed under every one of a bounded number of tries. Nothing was written; the caller may try again. */
export class TooManyConflicts extends Error {
  override readonly name = 'TooManyConflicts'
}

/** More commands wait for this stream than the bound allows. Nothing was written; the caller may try again. */
export class QueueFull extends Error {
  override readonly name = 'QueueFull'
}

type AnyDecider = Decider<unknown, unknown, AnyEvent, unknown>

interface Pending {
  readonly command: unknown
  readonly meta: CommandMeta
  readonly isNew: boolean
  readonly resolve: (handled: Handled<unknown, AnyEvent, unknown>) => void
  readonly reject: (error: unknown) => void
}

interface Folded {
  readonly state: unknown
  /** Revision of the last event folded; -1 when the stream has none. */
  readonly revision: bigint
}

interface Decided {
  readonly pending: Pending
  readonly decision: Decision<AnyEvent, unknown>
  readonly state: unknown
}

const pageSize = 1000

export function createLane(parts: HandlerParts, limits: HandlerLimits, decider: AnyDecider, stream: string): Lane {
  const {store, registry, clock, timers, random} = parts
  const queue: Pending[] = []
  let folded: Folded | null = null
  let running = false

  /** Brings the folded state up to what the store has; answers the events that were new. */
  async function catchUp(): Promise<RecordedEvent[]> {
    let {state, revision} = folded ?? {state: decider.initial, revision: -1n}
    const news: RecordedEvent[] = []
    for (;;) {
      const page = await store.readStream(stream, {from: revision + 1n, maxCount: pageSize})
      for (const recorded of page ?? []) {
        state = decider.evolve(state, registry.fromStored(recorded).event)
        revision = recorded.revision
        news.push(recorded)
      }
      if (page === null || page.length < pageSize) break
    }
    // A load may overlap with commands that are further on already.
    if (folded === null || revision >= folded.revision) folded = {state, revision}
    return news
  }

  /** Decides a batch in order, each command on the state the ones before it lead to. */
  function decideAll(
    batch: readonly Pending[],
    from: unknown,
  ): {decided: Decided[]; events: NewEvent[]; state: unknown} {
    const decided: Decided[] = []
    const events: NewEvent[] = []
    let state = from
    const now = clock.now()
    for (const pending of batch) {
      try {
        const decision = decider.decide(pending.command, state, {now})
        const stored = decision.ok
          ? decision.events.map((event, index) => toStored(event, pending.meta, index, now))
          : []
        if (decision.ok) state = fold(decider, state, decision.events)
        events.push(...stored)
        decided.push({pending, decision, state})
      } catch (error) {
        // A bug in one command's decision must not take the answers of the others with it.
        pending.reject(error)
      }
    }
    return {decided, events, state}
  }

  function toStored(event: AnyEvent, meta: CommandMeta, index: number, at: Instant): NewEvent {
    const {commandId, correlationId, actor} = meta
    const metadata = {$correlationId: correlationId, $causationId: commandId, actor, at}
    return registry.toStored(event, eventIdOf(commandId, stream, index), metadata)
  }

  /** Appends until the outcome is known. Answers null when the stream was not where the state had it. */
  async function append(
    events: readonly NewEvent[],
    revision: bigint,
  ): Promise<{revision: bigint; commit: bigint} | null> {
    const expected = revision < 0n ? 'noStream' : revision
    for (let attempt = 0; ; attempt++) {
      try {
        const appended = await store.append(stream, expected, events)
        return {revision: appended.revision, commit: appended.position.commit}
      } catch (error) {
        if (error instanceof WrongExpectedRevision) return null
        // The same ids at the same revision: the store itself tells whether the first try had arrived.
        if (!(error instanceof OutcomeUnknown) || attempt >= limits.unknownRetriesMax) throw error
        await timers.sleep(jittered(50 * 2 ** attempt, random))
      }
    }
  }

  async function settle(batch: readonly Pending[]): Promise<void> {
    let open = batch
    for (let conflicts = 0; ;) {
      if (folded === null && !open.every(({isNew}) => isNew)) await catchUp()
      const base: Folded = folded ?? {state: decider.initial, revision: -1n}
      const {decided, events, state} = decideAll(open, base.state)
      open = decided.map(({pending}) => pending)
      if (events.length === 0) {
        // Nothing to append that would prove the state fresh, so ask. News: decide again on it.
        if ((await catchUp()).length > 0) continue
        return answer(decided, null)
      }
      const appended = await append(events, base.revision)
      if (appended !== null) {
        folded = {state, revision: appended.revision}
        return answer(decided, appended.commit)
      }
      const news = await catchUp()
      const last = events.at(-1)?.id
      const own = news.find(recorded => recorded.id === last)
      if (own !== undefined) return answer(decided, own.position.commit)
      if (++conflicts > limits.conflictRetriesMax) {
        throw new TooManyConflicts(`${stream} changed under ${conflicts} attempts; try again`)
      }
      await timers.sleep(jittered(5 * 2 ** conflicts, random))
    }
  }

  async function run(): Promise<void> {
    running = true
    while (queue.length > 0) {
      const batch = queue.splice(0, limits.batchMax)
      try {
        await settle(batch)
      } catch (error) {
        // What the store holds now is not certain: fold anew before the next decision.
        folded = null
        for (const pending of batch) pending.reject(error)
      }
    }
    running = false
  }

  return {
    submit: (command, meta, isNew) =>
      new Promise((resolve, reject) => {
        if (queue.length >= limits.queueMax) {
          reject(new QueueFull(`too many commands wait for ${stream}; try again`))
          return
        }
        queue.push({command, meta, isNew, resolve, reject})
        if (!running) void run()
      }),
    async load() {
      // While commands run, the fold belongs to them; what they fold is as fresh as a read would be.
      if (!running || folded === null) await catchUp()
      return folded === null ? decider.initial : folded.state
    },
    isIdle: () => !running && queue.length === 0,
  }
}

function answer(decided: readonly Decided[], commit: bigint | null): void {
  for (const {pending, decision, state} of decided) {
    if (!decision.ok) pending.resolve({ok: false, refusal: decision.refusal, state})
    else pending.resolve({ok: true, events: decision.events, state, commit: decision.events.length > 0 ? commit : null})
  }
}

function jittered(ms: number, random: () => number): number {
  return Math.round(ms * (0.5 + random()))
}
