import {WrongExpectedRevision, type EventStore} from '../../src/event-store/port.ts'
import {machine} from '../../src/fleet/decider.ts'
import type {Decider} from '../../src/kernel/decider.ts'
import {purchase} from '../../src/shop/decider.ts'

/** A guard taken away, to show that the simulation sees it missing. Planted from here: production code has no switch. */
export interface Planted {
  /** Takes the guard away for as long as `during` runs. */
  within<Value>(during: (plant: (store: EventStore) => EventStore) => Promise<Value>): Promise<Value>
  /** What a violation says that shows it. */
  readonly shows: RegExp
}

export const planted: Readonly<Record<string, Planted>> = {
  'a purchase takes every payment, also the second': inDecider(
    purchase,
    (command, state) =>
      command.type === 'ReceivePayment' && state !== null ? [command, {...state, paymentRef: null}] : [command, state],
    /received twice/,
  ),
  'machines are wanted on without a booking': inDecider(
    machine,
    (command, state) =>
      command.type === 'LookAtMachine' ? [{...command, desired: {for: 'nobody'}}, state] : [command, state],
    /started at .* for nobody/,
  ),
  'appends do not look at the revision': inStore(
    store => ({
      ...store,
      async append(stream, expected, events) {
        try {
          return await store.append(stream, expected, events)
        } catch (error) {
          if (!(error instanceof WrongExpectedRevision) || error.actual === null) throw error
          return store.append(stream, error.actual, events)
        }
      },
    }),
    /was credited twice/,
  ),
  'the read models miss an event now and then': inStore(store => {
    let count = 0
    return {
      ...store,
      async *subscribeToAll(options) {
        for await (const message of store.subscribeToAll(options)) {
          if (message.type !== 'event' || ++count % 50 !== 0) yield message
        }
      },
    }
  }, /differs from a rebuilt one/),
  'an answer is given before anything is written': inStore(store => {
    let count = 0
    return {
      ...store,
      async append(stream, expected, events) {
        if (++count % 20 !== 0) return store.append(stream, expected, events)
        const revision = (typeof expected === 'bigint' ? expected : -1n) + BigInt(events.length)
        return {revision, position: {commit: 0n, prepare: 0n}}
      },
    }
  }, /credited without a payment|becomes confirmed when it is held/),
}

function inStore(plant: (store: EventStore) => EventStore, shows: RegExp): Planted {
  return {shows, within: during => during(plant)}
}

/** Deciders are plain objects that everybody shares; this one decides on something else for a while. */
function inDecider<State, Command, Event, Refusal>(
  decider: Decider<State, Command, Event, Refusal>,
  change: (command: Command, state: State) => readonly [Command, State],
  shows: RegExp,
): Planted {
  return {
    shows,
    async within(during) {
      const original = {...decider}
      const replaced: Pick<typeof decider, 'decide'> = {
        decide: (command, state, context) => original.decide(...change(command, state), context),
      }
      Object.assign(decider, replaced)
      try {
        return await during(store => store)
      } finally {
        Object.assign(decider, original)
      }
    },
  }
}
