import type {Decider} from '../kernel/decider.ts'
import type {AnyEvent} from '../kernel/messages.ts'
import {
  defaultLimits,
  type CommandMeta,
  type Handled,
  type HandleOptions,
  type HandlerLimits,
  type HandlerParts,
} from './command.ts'
import {createLane, type Lane} from './lane.ts'

/**
 * The one command handler: load the stream's state → decide → append at the revision the state was folded from.
 *
 * Commands that wait for one stream are decided together and go in one append; each keeps its own answer, given only
 * once the append is durable. States stay folded in a bounded cache at a known revision. A refusal is decided on a
 * state that was checked against the store, never on a stale cache.
 */
export interface Handler {
  /**
   * @throws StoreUnavailable, TooManyConflicts, QueueFull, CameTooLate (nothing was written), OutcomeUnknown (repeat with
   * the same command id)
   */
  handle<State, Command, Event extends AnyEvent, Refusal>(
    decider: Decider<State, Command, Event, Refusal>,
    stream: string,
    command: Command,
    meta: CommandMeta,
    options?: HandleOptions,
  ): Promise<Handled<State, Event, Refusal>>
  /** The state of a stream as the store has it now. */
  load<State, Command, Event extends AnyEvent, Refusal>(
    decider: Decider<State, Command, Event, Refusal>,
    stream: string,
  ): Promise<State>
}

export function createHandler(parts: HandlerParts, limits: HandlerLimits = defaultLimits): Handler {
  const lanes = createLanes(limits.cachedStreamsMax)
  const laneOf = (decider: Decider<unknown, unknown, AnyEvent, unknown>, stream: string): Lane =>
    lanes.get(stream, () => createLane(parts, limits, decider, stream))

  return {
    async handle(decider, stream, command, meta, options) {
      const lane = laneOf(decider, stream)
      return (await lane.submit(command, meta, options?.isNew === true)) as never
    },
    async load(decider, stream) {
      const lane = laneOf(decider, stream)
      return (await lane.load()) as never
    },
  }
}

/**
 * One lane for each stream in use. In two generations, so that a lane that is used again costs one look-up: when the
 * younger one is full, it becomes the older one, and what is left of the older one goes, unless it is at work. Keeps at
 * least the `max` streams used last, and at most twice as many beside those at work.
 */
function createLanes(max: number): {get(stream: string, create: () => Lane): Lane} {
  let young = new Map<string, Lane>()
  let old = new Map<string, Lane>()
  return {
    get(stream, create) {
      const known = young.get(stream)
      if (known !== undefined) return known
      const lane = old.get(stream) ?? create()
      old.delete(stream)
      if (young.size >= max) {
        const busy = [...old].filter(([, other]) => !other.isIdle())
        old = young
        young = new Map(busy)
      }
      young.set(stream, lane)
      return lane
    },
  }
}
