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
  /** @throws StoreUnavailable, OutcomeUnknown (repeat with the same command id), TooManyConflicts, QueueFull */
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
  const lanes = new Map<string, Lane>()

  // One map entry per stream; the least recently used idle ones go first when there are too many.
  const laneOf = (decider: Decider<unknown, unknown, AnyEvent, unknown>, stream: string): Lane => {
    const lane = lanes.get(stream) ?? createLane(parts, limits, decider, stream)
    lanes.delete(stream)
    lanes.set(stream, lane)
    if (lanes.size > limits.cachedStreamsMax) evict(lanes, limits.cachedStreamsMax, stream)
    return lane
  }

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

function evict(lanes: Map<string, Lane>, max: number, needed: string): void {
  for (const [stream, lane] of lanes) {
    if (lanes.size <= max) return
    if (stream !== needed && lane.isIdle()) lanes.delete(stream)
  }
}
