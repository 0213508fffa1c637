import {
  getNamedType,
  isCompositeType,
  isInterfaceType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  Lexer,
  Source,
  TokenKind,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLNamedType,
  type GraphQLSchema,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql/index.js'
import {badInput, PublicError} from './errors.ts'
import {pageDefault, pageMax} from './paging.ts'

// What a document may ask for at most. Documents are read token by token first, up to the first limit they pass, so
// that a large one costs no more than a small one.

export const tokensMax = 1000
export const aliasesMax = 100
export const directivesMax = 50
export const depthMax = 10
export const costMax = 2000

/** Braces that merely choose a type do not count as depth; this bounds them as well, before anything is built. */
const bracesMax = 40

/** Throws at the first limit that the text passes. A text that is no GraphQL is left to the parser. */
export function checkText(text: string): void {
  const lexer = new Lexer(new Source(text))
  let tokens = 0
  let aliases = 0
  let directives = 0
  let parentheses = 0
  let braces = 0
  for (let token = lexer.advance(); token.kind !== TokenKind.EOF; token = lexer.advance()) {
    if (++tokens > tokensMax) throw limitPassed('TOKEN_LIMIT', `A document has at most ${tokensMax} tokens.`)
    if (token.kind === TokenKind.PAREN_L) parentheses++
    else if (token.kind === TokenKind.PAREN_R) parentheses--
    else if (token.kind === TokenKind.BRACE_R) braces--
    else if (token.kind === TokenKind.AT) directives++
    // Outside of arguments and variables, a colon stands after an alias and nowhere else.
    else if (token.kind === TokenKind.COLON && parentheses <= 0) aliases++
    else if (token.kind === TokenKind.BRACE_L) braces++
    if (aliases > aliasesMax) throw limitPassed('ALIAS_LIMIT', `A document has at most ${aliasesMax} aliases.`)
    if (directives > directivesMax) {
      throw limitPassed('DIRECTIVE_LIMIT', `A document has at most ${directivesMax} directives.`)
    }
    if (braces > bracesMax) throw tooDeep()
  }
}

/** Throws when an operation nests its fields too deeply; introspection is as deep as the language's own tools ask. */
export function checkDepth(document: DocumentNode): void {
  const fragments = fragmentsOf(document)
  const known = new Map<string, number>()

  const depthOf = (set: SelectionSetNode): number => {
    let deepest = 0
    for (const selection of set.selections) {
      let depth = 0
      if (selection.kind === Kind.FIELD) {
        const isMeta = selection.name.value.startsWith('__')
        depth = 1 + (selection.selectionSet === undefined || isMeta ? 0 : depthOf(selection.selectionSet))
      } else if (selection.kind === Kind.INLINE_FRAGMENT) depth = depthOf(selection.selectionSet)
      else depth = depthOfFragment(selection.name.value)
      deepest = Math.max(deepest, depth)
    }
    return deepest
  }
  const depthOfFragment = (name: string): number => {
    const found = known.get(name)
    if (found !== undefined) return found
    // Set first: a fragment that spreads itself is refused by the language's own rules.
    known.set(name, 0)
    const fragment = fragments.get(name)
    const depth = fragment === undefined ? 0 : depthOf(fragment.selectionSet)
    known.set(name, depth)
    return depth
  }

  if (operationsOf(document).some(({selectionSet}) => depthOf(selectionSet) > depthMax)) throw tooDeep()
}

/** What some fields cost beside themselves; every other field of an object type costs 1. */
const weights: Readonly<Record<string, number>> = {'Query.availability': 500}
const mutationWeight = 100
/** How many entries a list is taken to have that does not say. */
const listLength = 5

export interface CostedOperation {
  readonly schema: GraphQLSchema
  readonly document: DocumentNode
  readonly operationName?: string | null | undefined
  readonly variables: Readonly<Record<string, unknown>>
}

/** Throws when an operation may have to read more than the budget; also when a page is not 1 to 100 long. */
export function checkCost(operation: CostedOperation): void {
  const cost = costOf(operation)
  if (cost <= costMax) return
  const message = `This costs up to ${cost}, and the limit is ${costMax}. Ask for shorter pages or fewer fields.`
  throw new PublicError({status: 400, code: 'COST_LIMIT', message})
}

export function costOf({schema, document, operationName, variables}: CostedOperation): number {
  const fragments = fragmentsOf(document)
  const known = new Map<string, number>()

  const costOfSet = (set: SelectionSetNode, parent: GraphQLNamedType | undefined, edgesCount: number): number => {
    let cost = 0
    for (const selection of set.selections) {
      if (selection.kind === Kind.FIELD) {
        cost += costOfField(selection, parent) * (selection.name.value === 'edges' ? edgesCount : 1)
      } else if (selection.kind === Kind.INLINE_FRAGMENT) {
        const type = selection.typeCondition === undefined ? parent : schema.getType(selection.typeCondition.name.value)
        cost += costOfSet(selection.selectionSet, type, edgesCount)
      } else cost += costOfFragment(selection.name.value, edgesCount)
    }
    return cost
  }
  const costOfFragment = (name: string, edgesCount: number): number => {
    const key = `${name} ${edgesCount}`
    const found = known.get(key)
    if (found !== undefined) return found
    known.set(key, 0)
    const fragment = fragments.get(name)
    if (fragment === undefined) return 0
    const cost = costOfSet(fragment.selectionSet, schema.getType(fragment.typeCondition.name.value), edgesCount)
    known.set(key, cost)
    return cost
  }
  const costOfField = (field: FieldNode, parent: GraphQLNamedType | undefined): number => {
    if (!isObjectType(parent) && !isInterfaceType(parent)) return 0
    const definition = parent.getFields()[field.name.value]
    if (definition === undefined) return 0
    const type = getNamedType(definition.type)
    if (!isCompositeType(type)) return 0
    const own =
      parent === schema.getMutationType() ? mutationWeight : (weights[`${parent.name}.${field.name.value}`] ?? 1)
    if (field.selectionSet === undefined) return own
    const isConnection = type.name.endsWith('Connection')
    const inside = costOfSet(field.selectionSet, type, isConnection ? pageLength(field, variables) : 1)
    const outer = isNonNullType(definition.type) ? definition.type.ofType : definition.type
    const isPlainList = isListType(outer) && field.name.value !== 'edges'
    return isPlainList ? listCount(field, variables) * (own + inside) : own + inside
  }

  const meant = operationsOf(document).find(({name}) => !operationName || name?.value === operationName)
  return meant === undefined ? 0 : costOfSet(meant.selectionSet, rootType(schema, meant), 1)
}

function pageLength(field: FieldNode, variables: Readonly<Record<string, unknown>>): number {
  for (const name of ['first', 'last']) {
    const length = argumentOf(field, name, variables)
    if ((length ?? null) === null) continue
    if (typeof length === 'number' && length >= 1 && length <= pageMax) return length
    throw badInput(name, `This is a whole number from 1 to ${pageMax}.`)
  }
  return pageDefault
}

function listCount(field: FieldNode, variables: Readonly<Record<string, unknown>>): number {
  const ids = argumentOf(field, 'ids', variables)
  if (!Array.isArray(ids)) return listLength
  if (ids.length > pageMax) throw badInput('ids', `At most ${pageMax} ids at once.`)
  return ids.length
}

function argumentOf(field: FieldNode, name: string, variables: Readonly<Record<string, unknown>>): unknown {
  const value = field.arguments?.find(argument => argument.name.value === name)?.value
  if (value?.kind === Kind.VARIABLE)
    return Object.hasOwn(variables, value.name.value) ? variables[value.name.value] : null
  if (value?.kind === Kind.INT) return Number(value.value)
  if (value?.kind === Kind.LIST) return value.values
  return null
}

function rootType(schema: GraphQLSchema, {operation}: OperationDefinitionNode): GraphQLNamedType | undefined {
  return schema.getRootType(operation) ?? undefined
}

function operationsOf({definitions}: DocumentNode): readonly OperationDefinitionNode[] {
  return definitions.filter(definition => definition.kind === Kind.OPERATION_DEFINITION)
}

function fragmentsOf({definitions}: DocumentNode): ReadonlyMap<string, FragmentDefinitionNode> {
  const fragments = definitions.filter(definition => definition.kind === Kind.FRAGMENT_DEFINITION)
  return new Map(fragments.map(fragment => [fragment.name.value, fragment]))
}

function limitPassed(code: string, message: string): PublicError {
  return new PublicError({status: 400, code, message})
}

function tooDeep(): PublicError {
  return limitPassed('DEPTH_LIMIT', `Fields may be nested ${depthMax} deep.`)
}
