import type {ImplementableObjectRef, ObjectFieldsShape, ObjectRef} from '@pothos/core'
import type {Answer} from '../dispatch/caller.ts'
import {builder} from './builder.ts'
import type {RequestContext} from './context.ts'

export interface AnyRefusal {
  readonly type: string
}

interface Words {
  readonly code: string
  readonly message: (refusal: never) => string
}

type Types = typeof builder extends PothosSchemaTypes.SchemaBuilder<infer Found> ? Found : never
type RefusalRef = ImplementableObjectRef<Types, AnyRefusal>

const words = new Map<string, Words>()
const refs = new Map<string, RefusalRef>()

export const refusalRef = builder.interfaceRef<AnyRefusal>('Refusal').implement({
  description: 'Why something that was asked for well-formed was not done. Nothing was changed.',
  resolveType: refusal => refusal.type,
  fields: t => ({
    message: t.string({description: 'For people, in English.', resolve: refusal => messageOf(refusal)}),
    code: t.string({description: 'For programs; stable.', resolve: ({type}) => wordsOf(type).code}),
    position: t.string({
      description: positionDescription,
      resolve: (refusal, _args, {parts}) =>
        'position' in refusal && typeof refusal.position === 'string' ? refusal.position : positionOf(parts, null),
    }),
    field: t.string({
      nullable: true,
      description: 'The input that is at fault, where it is one.',
      resolve: refusal => ('field' in refusal && typeof refusal.field === 'string' ? refusal.field : null),
    }),
  }),
})

/** Makes a refusal of a decider a type of the schema. */
export function defineRefusal<Refusal extends AnyRefusal>(
  type: Refusal['type'],
  definition: {
    readonly code: string
    readonly message: (refusal: Refusal) => string
    readonly fields?: ObjectFieldsShape<Types, Refusal>
  },
): void {
  words.set(type, {code: definition.code, message: definition.message})
  const fields = definition.fields as unknown as ObjectFieldsShape<Types, AnyRefusal> | undefined
  refOf(type).implement({interfaces: [refusalRef], ...(fields === undefined ? {} : {fields})})
}

/** Refusals that are between our own parts and never reach a caller as they are. */
type Internal =
  | 'CommandIdReused'
  | 'Fenced'
  | 'NoSuchAllocation'
  | 'NoSuchHold'
  | 'NotPaid'
  | 'NotYours'
  | 'SignInAlreadyUsed'
  | 'TooEarly'

type Public<Refusal extends AnyRefusal> = Exclude<Refusal['type'], Internal>

/** The answer of a mutation: what came of it, or one of its refusals; the compiler asks for each of them. */
export function payloadUnion<Refusal extends AnyRefusal>() {
  return <Success extends object>(
    name: string,
    success: ObjectRef<Types, Success>,
    refusals: Readonly<Record<Public<Refusal>, true>>,
  ) =>
    builder.unionType(name, {
      types: [success, ...Object.keys(refusals).map(refOf)],
      resolveType: value => (isRefusal(value) ? value.type : success.name),
    })
}

/** Every mutation's answer carries this. */
export interface Written {
  readonly position: string
}

const readModelsWaitMs = 2000

/**
 * Waits until this node's read models hold what a command wrote or was decided on, two seconds at most, and answers with
 * what `success` reads there, or with the refusal.
 */
export async function answered<Value, Success extends object>(
  {parts}: RequestContext,
  command: Promise<Answer<Value, AnyRefusal>>,
  success: (value: Value) => Success,
): Promise<(Success | AnyRefusal) & Written> {
  const answer = await command
  // Whoever asks next reads what this rests upon, also what was begun for it and taken back.
  const reached = answer.reached ?? null
  if (reached !== null) await parts.waitFor(reached, readModelsWaitMs)
  const position = positionOf(parts, reached)
  return answer.ok ? {...success(answer.value), position} : {...inPublic(answer.refusal), position}
}

/** What rests upon nothing but this node's read models reaches as far as they do. */
function positionOf({projections}: RequestContext['parts'], reached: bigint | null): string {
  const furthest = reached ?? projections.position()
  return String(furthest < 0n ? 0n : furthest)
}

/** The two ways in which a key is found to have been used: by this node just now, or in the log. */
export function inPublic(refusal: AnyRefusal): AnyRefusal {
  return refusal.type === 'CommandIdReused'
    ? ({type: 'IdempotencyKeyReused', field: 'idempotencyKey'} as AnyRefusal)
    : refusal
}

export function messageOf(refusal: AnyRefusal): string {
  return wordsOf(refusal.type).message(refusal as never)
}

export const positionDescription =
  'How far in the log this reaches; send it as `x-hourhand-position` to read what it rests upon from any node.'

function isRefusal(value: object): value is AnyRefusal {
  return 'type' in value && typeof value.type === 'string' && refs.has(value.type)
}

function refOf(type: string): RefusalRef {
  const known = refs.get(type) ?? builder.objectRef<AnyRefusal>(type)
  refs.set(type, known)
  return known
}

function wordsOf(type: string): Words {
  const found = words.get(type)
  if (found === undefined) throw new Error(`the refusal ${type} is not part of the schema`)
  return found
}
