import type {DomainEvent} from '../../projections/projection.ts'
import type {UserId} from '../kernel/ids.ts'
import type {StoredEvent} from '../kernel/messages.ts'
import type {Instant} from '../kernel/time.ts'
import type {RequestContext} from './context.ts'
import {PublicError, unauthenticated, unavailable} from './errors.ts'
import {defaultSubscriptionLimits, type GraphqlParts} from './parts.ts'

/** What changed is told by its id; whoever gets it reads the state of now. */
export interface Change {
  readonly id: string
  /** Not null: the subscription ends here, for this reason. */
  readonly end: PublicError | null
}

/**
 * Brings what the read models have folded to those who subscribed. Nothing here waits for a subscriber: changes of one
 * thing that wait are merged, and who still lets too many gather is dropped.
 */
export interface Subscriptions {
  /** Throws when there are too many. `first`: the id to begin with, before anything changes. */
  open(context: RequestContext, topic: string, first?: string): AsyncGenerator<Change, undefined>
  /** How many are open. */
  count(): number
  /** Calls back about every second, for what else has to end when a token does; answers how to stop it. */
  onTick(listener: (now: Instant) => void): () => void
  /** Ends all, telling them to come again. */
  close(): Promise<void>
}

interface Subscriber {
  readonly userId: UserId
  readonly topic: string
  readonly expiresAt: Instant
  /** Ids in the order in which they changed first. */
  readonly pending: Set<string>
  end: PublicError | null
  wake: () => void
}

const tickMs = 1000

export function createSubscriptions(parts: GraphqlParts): Subscriptions {
  const limits = {...defaultSubscriptionLimits, ...parts.limits}
  const byTopic = new Map<string, Set<Subscriber>>()
  const tickers = new Set<(now: Instant) => void>()
  const closing = new AbortController()
  let count = 0

  const all = (): Subscriber[] => [...byTopic.values()].flatMap(subscribers => [...subscribers])
  const endWhere = (error: () => PublicError, isMeant: (subscriber: Subscriber) => boolean): void => {
    for (const subscriber of all()) if (isMeant(subscriber)) finish(subscriber, error())
  }

  const publish = (topic: string, id: string): void => {
    for (const subscriber of byTopic.get(topic) ?? []) {
      subscriber.pending.add(id)
      if (subscriber.pending.size > limits.pendingMax) finish(subscriber, tooSlow())
      subscriber.wake()
    }
  }

  const onEvent = ({event, stream}: StoredEvent<DomainEvent>): void => {
    const owner = stream.slice(stream.indexOf('-') + 1)
    if (event.type === 'RolesChanged') endWhere(rolesChanged, ({userId}) => userId === event.data.userId)
    else if (event.type.startsWith('Booking') && 'bookingId' in event.data) {
      const {bookingId} = event.data
      const userId = parts.queries.agenda.booking(bookingId)?.user_id
      for (const topic of [`booking:id:${bookingId}`, `booking:user:${userId}`, 'booking:all'])
        publish(topic, bookingId)
    } else if (stream.startsWith('account-')) publish(`balance:${owner}`, owner)
    else if (stream.startsWith('machine-')) publish('machine:all', owner)
  }

  const stopListening = parts.onBatch(batch => {
    if (count === 0) return
    try {
      for (const stored of batch) onEvent(stored)
    } catch (error) {
      // The read models go on without us; subscribers must not go on with a gap.
      parts.logger.error({err: error}, 'subscribers could not be told')
      endWhere(
        () => unavailable('Some changes could not be told. Subscribe again.'),
        () => true,
      )
    }
  })

  const ticking = tickUntil(closing.signal, parts, () => {
    const now = parts.clock.now()
    endWhere(tokenRanOut, ({expiresAt}) => expiresAt <= now)
    for (const listener of tickers) listener(now)
  })

  const leave = (subscriber: Subscriber): void => {
    if (byTopic.get(subscriber.topic)?.delete(subscriber) !== true) return
    if (byTopic.get(subscriber.topic)?.size === 0) byTopic.delete(subscriber.topic)
    count--
  }

  return {
    open({caller, expiresAt}, topic, first) {
      if (caller === null || expiresAt === null) throw unauthenticated()
      const {userId} = caller
      const ownCount = all().filter(subscriber => subscriber.userId === userId).length
      if (count >= limits.subscribersMax || ownCount >= limits.perUserMax) throw tooMany()
      const pending = new Set(first === undefined ? [] : [first])
      const subscriber: Subscriber = {userId, topic, expiresAt, pending, end: null, wake: () => {}}
      if (closing.signal.aborted) finish(subscriber, stopping())
      byTopic.set(topic, (byTopic.get(topic) ?? new Set()).add(subscriber))
      count++
      return changesFor(subscriber, () => leave(subscriber))
    },
    count: () => count,
    onTick(listener) {
      tickers.add(listener)
      return () => tickers.delete(listener)
    },
    async close() {
      stopListening()
      endWhere(stopping, () => true)
      closing.abort()
      await ticking
    },
  }
}

/** Written out, not as an `async function*`: a generator that waits cannot be told to return. */
function changesFor(subscriber: Subscriber, leave: () => void): AsyncGenerator<Change, undefined> {
  let isOver = false
  const over = (): IteratorReturnResult<undefined> => {
    isOver = true
    leave()
    subscriber.wake()
    return {done: true, value: undefined}
  }
  const changes: AsyncGenerator<Change, undefined> = {
    async next() {
      for (;;) {
        if (isOver) return over()
        if (subscriber.end !== null) {
          const {end} = subscriber
          over()
          return {done: false, value: {id: '', end}}
        }
        const [id] = subscriber.pending
        if (id !== undefined) {
          subscriber.pending.delete(id)
          return {done: false, value: {id, end: null}}
        }
        const {promise, resolve} = Promise.withResolvers<void>()
        subscriber.wake = resolve
        await promise
      }
    },
    return: async () => over(),
    async throw(error) {
      over()
      throw error
    },
    [Symbol.asyncIterator]: () => changes,
    [Symbol.asyncDispose]: async () => {
      over()
    },
  }
  return changes
}

function finish(subscriber: Subscriber, error: PublicError): void {
  subscriber.end ??= error
  subscriber.pending.clear()
  subscriber.wake()
}

async function tickUntil(signal: AbortSignal, {timers}: GraphqlParts, tick: () => void): Promise<void> {
  while (!signal.aborted) {
    await timers.sleep(tickMs, signal)
    if (!signal.aborted) tick()
  }
}

const tokenRanOut = (): PublicError =>
  new PublicError({status: 401, code: 'UNAUTHENTICATED', message: 'The token ran out. Subscribe with a new one.'})

const rolesChanged = (): PublicError =>
  new PublicError({status: 401, code: 'UNAUTHENTICATED', message: 'Your roles were changed. Subscribe again.'})

const tooSlow = (): PublicError =>
  new PublicError({status: 429, code: 'TOO_SLOW', message: 'Changes came faster than they were read. Subscribe again.'})

const tooMany = (): PublicError =>
  new PublicError({status: 429, code: 'SUBSCRIPTION_LIMIT', message: 'Too many subscriptions.', retryable: true})

const stopping = (): PublicError => unavailable('This node stops. Subscribe again.')
