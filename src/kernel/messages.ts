import {z} from 'zod'
import type {Id} from './ids.ts'
import type {Instant} from './time.ts'

/**
 * How a slice declares its events: for each type the shape stored today and, for older stored versions, the pure
 * functions that lift one version to the next. A version is never changed once events of it are stored.
 */
export interface EventDeclaration<Data> {
  readonly schema: z.ZodType<Data>
  /** `upcasts[0]` lifts version 1 to 2, and so on; today's version is `upcasts.length + 1`. */
  readonly upcasts?: readonly ((data: unknown) => unknown)[]
}

export type EventDeclarations = Readonly<Record<string, EventDeclaration<unknown>>>

/** The union `{type, data}` of all events a slice declares. */
export type EventOf<Declarations extends EventDeclarations> = {
  readonly [Type in keyof Declarations & string]: {
    readonly type: Type
    readonly data: z.output<Declarations[Type]['schema']>
  }
}[keyof Declarations & string]

export interface AnyEvent {
  readonly type: string
  readonly data: unknown
}

/** Who caused a fact: a person, or a part of the program that acts on its own. */
export type Actor =
  {readonly type: 'user'; readonly userId: Id<'User'>} | {readonly type: 'process'; readonly name: string}

/** What is kept beside every event. The `$` names are EventStoreDB's own for tracing. */
export interface EventMetadata {
  readonly $correlationId: string
  readonly $causationId: string
  readonly actor: Actor
  readonly at: Instant
  /** Version of the event's stored shape. */
  readonly version: number
}

/** A fact read back from the log: parsed, lifted to today's shape, with its place and its metadata. */
export interface StoredEvent<Event extends AnyEvent = AnyEvent> {
  readonly event: Event
  readonly id: string
  readonly stream: string
  readonly revision: bigint
  readonly commit: bigint
  readonly prepare: bigint
  readonly metadata: EventMetadata
}

/** The one form of an instant. What day a month has is not asked: this runs for every event ever stored. */
const instantPattern = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$/
const instant = z.string().regex(instantPattern) as unknown as z.ZodType<Instant>

/** Building blocks for the shapes of stored events. Stored data is foreign data: it is checked when read. */
export const stored = {
  id: <Name extends string>(): z.ZodType<Id<Name>> => z.string().min(1).max(64) as unknown as z.ZodType<Id<Name>>,
  instant,
  minutes: z.int().min(0),
  money: z.object({amountMinor: z.int().min(0), currency: z.string().regex(/^[A-Z]{3}$/)}),
  interval: z.object({start: instant, end: instant}).refine(({start, end}) => start < end),
} as const
