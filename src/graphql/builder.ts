import SchemaBuilder from '@pothos/core'
import RelayPlugin from '@pothos/plugin-relay'
import {GraphQLError, valueFromASTUntyped} from 'graphql/index.js'
import {allRoles, type Role} from '../access/events.ts'
import {parseInstant, type Instant} from '../kernel/time.ts'
import type {GraphqlContext} from './context.ts'
import {badInput, notFound} from './errors.ts'
import {parseGlobalId} from './inputs.ts'

/** The one schema builder; every slice adds its own types, queries and mutations to it. */
export const builder = new SchemaBuilder<{
  Context: GraphqlContext
  DefaultFieldNullability: false
  DefaultEdgesNullability: false
  DefaultNodeNullability: false
  Scalars: {
    ID: {Input: string; Output: string}
    DateTime: {Input: Instant; Output: string}
    JSON: {Input: unknown; Output: unknown}
  }
}>({
  plugins: [RelayPlugin],
  defaultFieldNullability: false,
  relay: {
    cursorType: 'String',
    edgesFieldOptions: {nullable: false},
    nodeFieldOptions: {nullable: false},
    encodeGlobalID: (typename, id) => `${typename}:${id}`,
    decodeGlobalID(globalId) {
      const parsed = parseGlobalId(globalId)
      if (parsed === null) throw badInput('id', 'An id has the form Type:id.')
      if (!nodeTypes.has(parsed.typename)) throw notFound()
      return parsed
    },
    nodeTypeOptions: {
      description: 'Anything that has an id of the form `Type:id`, by which it can be asked for again.',
    },
    nodeQueryOptions: {
      description: 'One thing by its id; NOT_FOUND when there is none or it is not yours to see.',
      async resolve(_root, {id}, _context, _info, load) {
        const node = await load(id)
        if (node === null || node === undefined) throw notFound()
        return node
      },
    },
    nodesQueryOptions: {
      description:
        'Up to 100 things by their ids, in the order of the ids; null for each that is not found or not yours.',
    },
  },
})

/** Types that `node` answers; all others are not found. */
export const nodeTypes = new Set<string>()

builder.queryType({
  description:
    'Everything here is read from this node’s read models. To read what a mutation wrote, send its `position` in the ' +
    'header `x-hourhand-position`: the query then waits, two seconds at most, until the read models have reached it.',
})
builder.mutationType({
  description:
    'Every mutation takes an `idempotencyKey` of 1 to 128 printable ASCII characters. The same key with the same input ' +
    'gives the same answer and is done once; with other input it is refused as `IdempotencyKeyReused`. Expected ' +
    'refusals are types of the answer and implement `Refusal`.',
})
builder.subscriptionType({
  description:
    'Over server-sent events (`Accept: text/event-stream`) or WebSocket (`graphql-transport-ws` on the same address, ' +
    'the token in the `authorization` field of `connection_init` or in the header of the upgrade). Each message has ' +
    'the state of now; changes that come faster than they are read are merged. A subscription ends when its token does.',
})

builder.scalarType('DateTime', {
  description: 'A time with its offset or `Z` (RFC 3339), year 1970 to 9999; answered in UTC with milliseconds.',
  parseValue(value) {
    const instant = parseInstant(value)
    if (instant === null) throw new GraphQLError('A DateTime is an RFC 3339 time with an offset or Z.')
    return instant
  },
  serialize: value => value,
})

builder.scalarType('JSON', {
  description: 'Any JSON object or value. Keys named `__proto__`, `constructor` or `prototype` are refused.',
  parseValue: value => withoutForgedKeys(value, 0),
  parseLiteral: (node, variables) => withoutForgedKeys(valueFromASTUntyped(node, variables), 0),
  serialize: value => value,
})

const jsonDepthMax = 10

function withoutForgedKeys(value: unknown, depth: number): unknown {
  if (depth > jsonDepthMax) throw new GraphQLError(`JSON may be nested ${jsonDepthMax} deep.`)
  if (Array.isArray(value)) return value.map(item => withoutForgedKeys(item, depth + 1))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, inner]) => {
    if (['__proto__', 'constructor', 'prototype'].includes(key)) throw new GraphQLError('JSON with a forged key.')
    return [key, withoutForgedKeys(inner, depth + 1)] as const
  })
  return Object.fromEntries(entries)
}

const roleNames: Readonly<Record<string, {readonly value: Role; readonly description: string}>> = {
  CUSTOMER: {value: 'customer', description: 'Buys hours and books.'},
  OPERATOR: {value: 'operator', description: 'Looks after machines, payments and everybody’s bookings.'},
  OWNER: {value: 'owner', description: 'Does what operators do, and decides on roles and the catalogue.'},
}

export const roleEnum = builder.enumType('Role', {values: roleNames})

if (Object.keys(roleNames).length !== allRoles.length) throw new Error('the schema lacks a role')
