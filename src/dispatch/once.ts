import type {Answer, Caller, CallerRefusal} from './caller.ts'

/**
 * One run at a time for one idempotency key of one caller: a second call with the same body waits for the first and
 * gets its answer; one with another body is refused. The keys of finished calls are remembered for a while; for good,
 * what a repeat may do is decided by the deciders, from what is in the log.
 */
export interface Once {
  <Value, Refusal>(
    caller: Caller,
    call: {readonly idempotencyKey: string},
    run: () => Promise<Answer<Value, Refusal>>,
  ): Promise<Answer<Value, Refusal | CallerRefusal>>
}

const rememberedMax = 50_000

export function createOnce(): Once {
  const bodies = new Map<string, string>()
  const running = new Map<string, Promise<unknown>>()

  return async (caller, call, run) => {
    const key = `${caller.userId} ${call.idempotencyKey}`
    const body = JSON.stringify(call)
    const known = bodies.get(key)
    if (known !== undefined && known !== body) {
      return {ok: false, refusal: {type: 'IdempotencyKeyReused', field: 'idempotencyKey'}}
    }
    const underWay = running.get(key)
    if (underWay !== undefined) return (await underWay) as never

    bodies.set(key, body)
    forgetOldest(bodies, running)
    const answer = run()
    running.set(key, answer)
    try {
      return await answer
    } finally {
      running.delete(key)
    }
  }
}

function forgetOldest(bodies: Map<string, string>, running: ReadonlyMap<string, unknown>): void {
  if (bodies.size <= rememberedMax) return
  for (const key of bodies.keys()) {
    if (running.has(key)) continue
    bodies.delete(key)
    return
  }
}
