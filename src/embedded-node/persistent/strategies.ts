/** To which consumer of a group a message goes. */
import type {StoredEvent} from '../records.ts'
import {availableSlots, type Consumer, offer} from './consumers.ts'
import type {Message} from './message.ts'
import type {StrategyName} from './settings.ts'

/** `skipped`: this message must wait, the next may not have to. `full`: nobody takes anything. */
export type Pushed = {readonly to: Consumer} | 'skipped' | 'full'

export interface Strategy {
  added(consumer: Consumer): void
  removed(consumer: Consumer): void
  push(message: Message): Pushed
}

export function openStrategy(name: StrategyName): Strategy {
  switch (name) {
    case 'RoundRobin':
      return inTurn(true)
    case 'DispatchToSingle':
      return inTurn(false)
    case 'Pinned':
      return pinned(streamOf)
    case 'PinnedByCorrelation':
      return pinned(message => correlationOf(message) ?? streamOf(message))
    default: {
      const never: never = name
      throw new Error(`no strategy ${String(never)}`)
    }
  }
}

/** Each message to the next consumer, or all to the first that has room. */
function inTurn(rotates: boolean): Strategy {
  let consumers: Consumer[] = []
  return {
    added: consumer => void consumers.push(consumer),
    removed(consumer) {
      consumers = consumers.filter(other => other !== consumer)
    },
    push(message) {
      for (let count = consumers.length; count > 0; count--) {
        const [first] = consumers
        if (first === undefined) break
        const isSent = offer(first, message)
        if (rotates || !isSent) consumers.push(...consumers.splice(0, 1))
        if (isSent) return {to: first}
      }
      return 'full'
    },
  }
}

const BUCKETS = 1024

/** What has the same source goes to the same consumer, as long as no consumer comes or goes. */
function pinned(sourceOf: (message: Message) => string): Strategy {
  const owners = new Map<number, Consumer>()
  const consumers = new Map<Consumer, Set<number>>()

  const fewestBuckets = (): Consumer | undefined =>
    [...consumers].reduce<[Consumer, Set<number>] | undefined>(
      (least, next) => (least === undefined || next[1].size < least[1].size ? next : least),
      undefined,
    )?.[0]
  const assign = (bucket: number, consumer: Consumer): void => {
    const before = owners.get(bucket)
    if (before !== undefined) consumers.get(before)?.delete(bucket)
    owners.set(bucket, consumer)
    consumers.get(consumer)?.add(bucket)
  }

  return {
    added(consumer) {
      consumers.set(consumer, new Set())
      const share = Math.ceil(owners.size / consumers.size)
      for (const [other, buckets] of consumers) {
        if (other === consumer) continue
        const busy = new Set([...other.inFlight.values()].map(message => bucketOf(sourceOf(message))))
        // Buckets without anything on its way move first: their order is kept.
        const surplus = [...buckets].sort((a, b) => Number(busy.has(a)) - Number(busy.has(b)))
        for (const bucket of surplus.slice(0, Math.max(0, buckets.size - share))) assign(bucket, consumer)
      }
    },
    removed(consumer) {
      for (const bucket of consumers.get(consumer) ?? []) owners.delete(bucket)
      consumers.delete(consumer)
    },
    push(message) {
      if (![...consumers.keys()].some(consumer => availableSlots(consumer) > 0 && !consumer.call.isFull()))
        return 'full'
      const bucket = bucketOf(sourceOf(message))
      const owner = owners.get(bucket) ?? fewestBuckets()
      if (owner === undefined) return 'full'
      if (owners.get(bucket) !== owner) assign(bucket, owner)
      return offer(owner, message) ? {to: owner} : 'skipped'
    },
  }
}

/** FNV-1a; source: isthe.com/chongo/tech/comp/fnv. */
function bucketOf(source: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < source.length; at++) hash = Math.imul(hash ^ source.charCodeAt(at), 0x01000193)
  return (hash >>> 0) % BUCKETS
}

/** The stream of the event; of a link without its event, the stream it points to. */
function streamOf({event, link}: Message): string {
  const record = event ?? link
  if (record === null) return ''
  if (record.type !== '$>') return record.stream
  const target = textOf(record.data)
  const at = target.indexOf('@')
  return at < 0 ? target : target.slice(at + 1)
}

function correlationOf({event, link}: Message): string | null {
  const record: StoredEvent | null = event ?? link
  if (record === null || record.metadata.length === 0) return null
  try {
    const metadata: unknown = JSON.parse(textOf(record.metadata))
    if (typeof metadata !== 'object' || metadata === null || !('$correlationId' in metadata)) return null
    return typeof metadata.$correlationId === 'string' ? metadata.$correlationId : null
  } catch {
    // Metadata may be anything: what is no JSON has no correlation id.
    return null
  }
}

const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
