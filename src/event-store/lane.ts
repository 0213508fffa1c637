import {accept, fold, type Decider, type Decision} from '../kernel/decider.ts'
import type {CommandId} from '../kernel/ids.ts'
import type {AnyEvent} from '../kernel/messages.ts'
import type {Instant} from '../kernel/time.ts'
import {
  CameTooLate,
  eventIdOf,
  QueueFull,
  TooManyConflicts,
  type CommandMeta,
  type Handled,
  type HandlerLimits,
  type HandlerParts,
} from './command.ts'
import {AppendTooLarge, OutcomeUnknown, WrongExpectedRevision, type NewEvent, type RecordedEvent} from './port.ts'
import {createRepeats} from './repeats.ts'

/**
 * One stream's queue of commands and its folded state. Commands are decided in the order they came; those that came
 * while an append was under way are decided together next.
 */
export interface Lane {
  submit(command: unknown, meta: CommandMeta, isNew: boolean): Promise<Handled<unknown, AnyEvent, unknown>>
  load(): Promise<unknown>
  isIdle(): boolean
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
  /** Its position; null when the stream has none. */
  readonly commit: bigint | null
}

interface Decided {
  readonly pending: Pending
  readonly decision: Decision<AnyEvent, unknown>
  readonly state: unknown
}

const pageSize = 1000
const noIds: ReadonlySet<string> = new Set()

export function createLane(parts: HandlerParts, limits: HandlerLimits, decider: AnyDecider, stream: string): Lane {
  const {store, registry, clock, timers, random} = parts
  const queue: Pending[] = []
  const unread: Folded = {state: decider.initial, revision: -1n, commit: null}
  const repeats = createRepeats()
  let folded: Folded | null = null
  let running = false

  /** Folds what the store has beyond `from`, or anew when the stream is gone; answers the events of `ids` among it. */
  async function catchUp(
    from: Folded,
    ids: ReadonlySet<string> = noIds,
  ): Promise<{readonly now: Folded; readonly found: readonly RecordedEvent[]}> {
    let {state, revision, commit} = from
    const found: RecordedEvent[] = []
    for (;;) {
      const page = await store.readStream(stream, {from: revision + 1n, maxCount: pageSize})
      if (page === null) {
        repeats.forget()
        return {now: kept(unread, from.revision >= 0n), found}
      }
      for (const recorded of page) {
        const {event, metadata} = registry.fromStored(recorded)
        state = decider.evolve(state, event)
        repeats.remember({commandId: metadata.$causationId as CommandId, actor: metadata.actor})
        revision = recorded.revision
        commit = recorded.position.commit
        if (ids.has(recorded.id)) found.push(recorded)
      }
      if (page.length < pageSize) return {now: kept({state, revision, commit}, false), found}
    }
  }

  /** Keeps a fold unless a newer one is there: a load may overlap with commands that are further on already. */
  function kept(now: Folded, isDeleted: boolean): Folded {
    if (folded === null || isDeleted || now.revision >= folded.revision) folded = now
    return now
  }

  /** Its caller may have given it up, asked another node, and gone on by what that one answered. */
  function isTooLate({meta: {arrivedAtMs, onlyWhile}}: Pending): boolean {
    if (onlyWhile?.() === false) return true
    return arrivedAtMs !== undefined && clock.monotonicMs() - arrivedAtMs > limits.answerableMs
  }

  /** Decides a batch in order, but for what came too late, each command on the state the ones before it lead to. */
  function decideAll(
    batch: readonly Pending[],
    from: unknown,
  ): {decided: Decided[]; events: NewEvent[]; state: unknown} {
    const decided: Decided[] = []
    const events: NewEvent[] = []
    let state = from
    const now = clock.now()
    const ofBatch = createRepeats()
    for (const pending of batch) {
      if (isTooLate(pending)) {
        pending.reject(new CameTooLate(`the time to decide a command for ${stream} is over`))
        continue
      }
      try {
        const wanted = decider.decide(pending.command, state, {now})
        const isRepeat = repeats.isRepeat(pending.meta) || ofBatch.isRepeat(pending.meta)
        const decision = isRepeat && wanted.ok ? accept<AnyEvent>() : wanted
        if (decision.ok && decision.events.length > 0) ofBatch.remember(pending.meta)
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
    return registry.toStored(event, eventIdOf(commandId, stream, index, event.data), metadata)
  }

  /**
   * Appends until the outcome is known: the position reached, or null when the stream was not where the base has it.
   * From the first lost answer on it is written or not, whatever error comes next: such errors are `OutcomeUnknown`.
   */
  async function write(events: readonly NewEvent[], base: Folded, state: unknown): Promise<bigint | null> {
    const expected = base.revision < 0n ? 'noStream' : base.revision
    let isUnknown = false
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          const {revision, position} = await store.append(stream, expected, events)
          // Any other revision means that the stream holds what is not folded here: fold it before the next decision.
          folded =
            revision === base.revision + BigInt(events.length) ? {state, revision, commit: position.commit} : null
          return position.commit
        } catch (error) {
          if (error instanceof WrongExpectedRevision) break
          isUnknown ||= error instanceof OutcomeUnknown
          if (!isUnknown || attempt >= limits.unknownRetriesMax) throw error
          // The same ids at the same revision: the store itself tells whether the first try had arrived.
          await timers.sleep(jittered(50 * 2 ** attempt, random))
        }
      }
      const {found} = await catchUp(base, new Set(events.map(({id}) => id)))
      // An append is whole or not at all. Less than all of it is a repeat that another node wrote of one command.
      return found.length === events.length ? (found.at(-1)?.position.commit ?? null) : null
    } catch (error) {
      if (!isUnknown || error instanceof OutcomeUnknown) throw error
      throw new OutcomeUnknown(`no answer tells whether ${stream} was written`, {cause: error})
    }
  }

  async function settle(batch: readonly Pending[]): Promise<void> {
    let open = batch
    // Whether the store was read since these commands came: a refusal needs that.
    let isFresh = false
    for (let conflicts = 0; ;) {
      if (folded === null && !open.every(({isNew}) => isNew)) {
        await catchUp(unread)
        isFresh = true
      }
      const base: Folded = folded ?? unread
      const {decided, events, state} = decideAll(open, base.state)
      open = decided.map(({pending}) => pending)
      if (!isFresh && !decided.every(({decision}) => decision.ok && decision.events.length > 0)) {
        // Something writes nothing that would prove the state fresh, and what the others write may be a repeat of what
        // another node wrote long ago. So ask; if it was not fresh, decide again, once.
        isFresh = true
        if ((await catchUp(base)).now.revision !== base.revision) continue
        // To ask took its time.
        if (open.some(isTooLate)) continue
      }
      if (events.length === 0) return answer(decided, null, base.commit)
      const commit = await write(events, base, state)
      if (commit !== null) {
        for (const {pending, decision} of decided) {
          if (decision.ok && decision.events.length > 0) repeats.remember(pending.meta)
        }
        return answer(decided, commit, commit)
      }
      isFresh = true
      if (++conflicts > limits.conflictRetriesMax) {
        throw new TooManyConflicts(`${stream} changed under ${conflicts} attempts; try again`)
      }
      await timers.sleep(jittered(5 * 2 ** conflicts, random))
    }
  }

  /** Settles a batch; what is too large for one append goes in two, so that only the culprit fails. */
  async function settleInParts(batch: readonly Pending[]): Promise<void> {
    try {
      await settle(batch)
    } catch (error) {
      // What the store holds now is not certain: fold anew before the next decision.
      folded = null
      const half = batch.length >> 1
      if (!(error instanceof AppendTooLarge) || half === 0) {
        for (const pending of batch) pending.reject(error)
        return
      }
      await settleInParts(batch.slice(0, half))
      await settleInParts(batch.slice(half))
    }
  }

  async function run(): Promise<void> {
    running = true
    while (queue.length > 0) await settleInParts(queue.splice(0, limits.batchMax))
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
    load: async () => (await catchUp(folded ?? unread)).now.state,
    isIdle: () => !running && queue.length === 0,
  }
}

function answer(decided: readonly Decided[], commit: bigint | null, reached: bigint | null): void {
  for (const {pending, decision, state} of decided) {
    if (!decision.ok) pending.resolve({ok: false, refusal: decision.refusal, state, reached})
    else {
      const {events} = decision
      pending.resolve({ok: true, events, state, commit: events.length > 0 ? commit : null, reached})
    }
  }
}

function jittered(ms: number, random: () => number): number {
  return Math.round(ms * (0.5 + random()))
}
