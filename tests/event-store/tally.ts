import {randomUUID} from 'node:crypto'
import {z} from 'zod'
import type {CommandMeta, HandlerParts} from '../../src/event-store/command.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {createRegistry} from '../../src/event-store/registry.ts'
import {accept, refuse, type Decider} from '../../src/kernel/decider.ts'
import {derivedCommandId, type CommandId} from '../../src/kernel/ids.ts'
import type {EventOf} from '../../src/kernel/messages.ts'
import {at} from '../support/given.ts'

/** The smallest domain that shows what the handler does: an amount that is added to and spent, and never negative. */
export const tallyEvents = {
  Opened: {schema: z.object({name: z.string()})},
  Added: {schema: z.object({amount: z.int(), note: z.string()})},
  Spent: {schema: z.object({amount: z.int()})},
} as const

export type TallyEvent = EventOf<typeof tallyEvents>
export type TallyCommand =
  /** Repeats quietly; every other command counts as often as it is given. */
  | {readonly type: 'Open'; readonly name: string}
  | {readonly type: 'Add'; readonly amount: number; readonly note?: string}
  | {readonly type: 'Spend'; readonly amount: number}
  | {readonly type: 'Explode'}

export interface Tally {
  readonly name: string | null
  readonly amount: number
}

export type TallyRefusal = {readonly type: 'TooLittle'; readonly amount: number}

export const tally: Decider<Tally, TallyCommand, TallyEvent, TallyRefusal> = {
  category: 'tally',
  initial: {name: null, amount: 0},
  decide(command, state) {
    switch (command.type) {
      case 'Open':
        return state.name === null ? accept({type: 'Opened', data: {name: command.name}}) : accept()
      case 'Add':
        return accept({type: 'Added', data: {amount: command.amount, note: command.note ?? ''}})
      case 'Spend': {
        const {amount} = command
        if (amount > state.amount) return refuse({type: 'TooLittle', amount: state.amount})
        return accept({type: 'Spent', data: {amount}})
      }
      default:
        throw new Error('boom')
    }
  },
  evolve(state, event) {
    if (event.type === 'Opened') return {...state, name: event.data.name}
    const change = event.type === 'Added' ? event.data.amount : -event.data.amount
    return {...state, amount: state.amount + change}
  },
}

export const add = (amount: number, note = ''): TallyCommand => ({type: 'Add', amount, note})
export const spend = (amount: number): TallyCommand => ({type: 'Spend', amount})

/** Waits are over at once; they are counted, not slept. */
export function partsOf(store: EventStore): HandlerParts & {readonly waitsMs: number[]} {
  const waitsMs: number[] = []
  return {
    store,
    registry: createRegistry(tallyEvents),
    clock: {now: () => at('10:00'), monotonicMs: () => 0},
    timers: {
      sleep: async ms => {
        waitsMs.push(ms)
        await Promise.resolve()
      },
    },
    random: () => 0.5,
    waitsMs,
  }
}

export function freshMeta(commandId: CommandId = derivedCommandId(randomUUID())): CommandMeta {
  return {commandId, correlationId: 'c', actor: {type: 'process', name: 'test'}}
}

export const freshTally = (): string => `tally-${randomUUID()}`

/** What a stream holds, in short: `+5`, `-3`, `opened`. */
export async function contentsOf(store: EventStore, stream: string): Promise<string[]> {
  const events = (await store.readStream(stream, {maxCount: 1_000})) ?? []
  return events.map(({type, data}) => {
    if (type === 'Opened') return 'opened'
    const {amount} = data as {amount: number}
    return type === 'Added' ? `+${amount}` : `-${amount}`
  })
}

/** A gate that appends wait at while it is shut. */
export function gated(store: EventStore): {
  readonly store: EventStore
  readonly appends: number[]
  shut(): void
  open(): void
} {
  const appends: number[] = []
  let gate = Promise.withResolvers<void>()
  gate.resolve()
  return {
    store: {
      ...store,
      async append(stream, expected, events) {
        appends.push(events.length)
        await gate.promise
        return store.append(stream, expected, events)
      },
    },
    appends,
    shut: () => {
      gate = Promise.withResolvers<void>()
    },
    open: () => gate.resolve(),
  }
}
