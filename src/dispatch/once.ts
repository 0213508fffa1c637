import type {CommandId} from '../kernel/ids.ts'
import {commandIdOf, type Answer, type Caller, type CallerRefusal} from './caller.ts'

/**
 * One run at a time for one idempotency key of one caller and kind of command; `run` gets the command's id, which
 * follows from these three. A second call with the same body waits for the first and gets its answer; one with another body is refused. The keys of finished calls are remembered for a while; for good,
 * what a repeat may do is decided by the deciders, from what is in the log.
 */
export interface Once {
  <Value, Refusal>(
    caller: Caller,
    kind: string,
    call: {readonly idempotencyKey: string},
    run: (commandId: CommandId) => Promise<Answer<Value, Refusal>>,
  ): Promise<Answer<Value, Refusal | CallerRefusal>>
}

const rememberedMax = 50_000

export function createOnce(): Once {
  const bodies = new Map<CommandId, string>()
  const running = new Map<CommandId, Promise<unknown>>()

  return async (caller, kind, call, run) => {
    const key = commandIdOf(caller, kind, call.idempotencyKey)
    const body = canonical(call)
    const known = bodies.get(key)
    if (known !== undefined && known !== body) {
      return {ok: false, refusal: {type: 'IdempotencyKeyReused', field: 'idempotencyKey'}}
    }
    const underWay = running.get(key)
    if (underWay !== undefined) return (await underWay) as never

    bodies.set(key, body)
    forgetOldest(bodies, running)
    const answer = run(key)
    running.set(key, answer)
    try {
      return await answer
    } finally {
      running.delete(key)
    }
  }
}

/** The same text for the same body, whatever the order its fields came in. */
function canonical(body: unknown): string {
  return JSON.stringify(body, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  )
}

function forgetOldest(bodies: Map<CommandId, string>, running: ReadonlyMap<CommandId, unknown>): void {
  if (bodies.size <= rememberedMax) return
  for (const key of bodies.keys()) {
    if (running.has(key)) continue
    bodies.delete(key)
    return
  }
}
