import type {z} from 'zod'
import type {AnyEvent, EventDeclaration, EventDeclarations, EventMetadata, StoredEvent} from '../kernel/messages.ts'
import {metadataSchema} from './metadata.ts'
import type {NewEvent, RecordedEvent} from './port.ts'

/** Turns events into what is stored and back: the only place where stored data is parsed and lifted to a new shape. */
export interface Registry {
  /** @throws TypeError when the data does not fit: what is written must be readable for ever (a bug, not an input). */
  toStored(event: AnyEvent, id: string, metadata: Omit<EventMetadata, 'version'>): NewEvent
  /** @throws UnreadableEvent on an unknown type, a version from the future, or data that does not fit its shape. */
  fromStored(recorded: RecordedEvent): StoredEvent
  knows(type: string): boolean
  /** Today's version of a type, 1 at the least. */
  versionOf(type: string): number
  readonly types: readonly string[]
}

/** A stored event this program cannot read. Whoever folds it stops: skipping a fact would falsify what follows. */
export class UnreadableEvent extends Error {
  override readonly name = 'UnreadableEvent'
}

export function createRegistry(...slices: readonly EventDeclarations[]): Registry {
  const declarations = new Map<string, EventDeclaration<unknown>>()
  for (const slice of slices) {
    for (const [type, declaration] of Object.entries(slice)) {
      if (declarations.has(type)) throw new Error(`two slices declare the event type ${type}`)
      declarations.set(type, declaration)
    }
  }
  const versionOf = (type: string): number => (declarations.get(type)?.upcasts?.length ?? 0) + 1
  return {
    types: [...declarations.keys()],
    knows: type => declarations.has(type),
    versionOf,
    toStored({type, data}, id, metadata) {
      const result = declarations.get(type)?.schema.safeParse(data)
      if (result?.success !== true) throw new TypeError(`cannot store ${type}: ${faultsOf(result?.error, 'its type')}`)
      return {id, type, data: result.data, metadata: {...metadata, version: versionOf(type)}}
    },
    fromStored(recorded) {
      const declaration = declarations.get(recorded.type)
      if (declaration === undefined) throw unreadable(recorded, 'its type is unknown; a newer program wrote it')
      const metadata = parsed(metadataSchema, recorded.metadata, recorded, 'metadata')
      const data = parsed(declaration.schema, upcast(declaration, metadata.version, recorded), recorded, 'data')
      const {id, stream, revision, position} = recorded
      const event = {type: recorded.type, data}
      return {event, id, stream, revision, commit: position.commit, prepare: position.prepare, metadata}
    },
  }
}

function upcast(declaration: EventDeclaration<unknown>, version: number, recorded: RecordedEvent): unknown {
  const upcasts = declaration.upcasts ?? []
  if (version > upcasts.length + 1) throw unreadable(recorded, `its version ${version} is newer than this program`)
  try {
    return upcasts.slice(version - 1).reduce((data, lift) => lift(data), recorded.data)
  } catch (error) {
    throw unreadable(recorded, `its data does not fit version ${version} (${String(error)})`)
  }
}

function parsed<Value>(schema: z.ZodType<Value>, value: unknown, recorded: RecordedEvent, part: string): Value {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw unreadable(recorded, `its ${part} does not fit (${faultsOf(result.error, part)})`)
}

/** Names fields, never values: an event may hold what must not reach a log. */
function faultsOf(error: z.ZodError | undefined, whole: string): string {
  return error?.issues.map(issue => issue.path.join('.') || whole).join(', ') ?? `${whole} is unknown`
}

function unreadable(recorded: RecordedEvent, why: string): UnreadableEvent {
  return new UnreadableEvent(`cannot read ${recorded.type} ${recorded.revision}@${recorded.stream}: ${why}`)
}
