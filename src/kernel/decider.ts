import type {Instant} from './time.ts'

/** What a decision answers: the facts that follow (none when the wish is already fulfilled), or one refusal. */
export type Decision<Event, Refusal> =
  {readonly ok: true; readonly events: readonly Event[]} | {readonly ok: false; readonly refusal: Refusal}

export function accept<Event>(...events: readonly Event[]): {readonly ok: true; readonly events: readonly Event[]} {
  return {ok: true, events}
}

export function refuse<Refusal>(refusal: Refusal): {readonly ok: false; readonly refusal: Refusal} {
  return {ok: false, refusal}
}

/** The time a decision is made at; everything else a decision needs is in its command. */
export interface DecisionContext {
  readonly now: Instant
}

/**
 * One consistency boundary, as pure functions: a stream's events fold into a state, and a command is decided
 * against that state. `evolve` never rejects and changes nothing in place; both are synchronous.
 */
export interface Decider<State, Command, Event, Refusal> {
  /** The first part of the stream's name; holds no `-`, where EventStoreDB would split it. */
  readonly category: string
  readonly initial: State
  decide(command: Command, state: State, context: DecisionContext): Decision<Event, Refusal>
  evolve(state: State, event: Event): State
}

/** Folds events into a state; the given/when/then of tests and the handler's loading both use it. */
export function fold<State, Event>(
  decider: {evolve(state: State, event: Event): State},
  state: State,
  events: Iterable<Event>,
): State {
  let folded = state
  for (const event of events) folded = decider.evolve(folded, event)
  return folded
}

/** For the `default` of a `switch` that lists every case: the compiler refuses it when one is missing. */
export function assertNever(value: never): never {
  throw new Error(`unexpected case: ${JSON.stringify(value)}`)
}
