import {
  BREAK,
  Kind,
  NoSchemaIntrospectionCustomRule,
  parse,
  validate,
  visit,
  type ASTNode,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  type GraphQLError,
} from 'graphql/index.js'
import type {Plugin} from 'graphql-yoga'
import {isOperator, type RequestContext} from './context.ts'
import {namedField, PublicError, sameAt, shapeErrors, type Shaping} from './errors.ts'
import {checkCost, checkDepth, checkText} from './limits.ts'

/** Told beside the abort message of the library: three in all. */
const validationErrorsMax = 2

/** Bounds what a document may ask for and gives every error its public form, whichever way the request came. */
export function hardening({development}: {readonly development: boolean}): Plugin<RequestContext> {
  return {
    onParse({setParseFn}) {
      setParseFn((source: string, options?: object) => {
        checkText(source)
        return parse(source, options)
      })
    },
    onValidate({setValidationFn, addValidationRule, context}) {
      if (!development && !isOperator(context)) addValidationRule(NoSchemaIntrospectionCustomRule)
      setValidationFn((schema, document, rules, options) => {
        checkDepth(document)
        const errors = validate(schema, document, rules, {...options, maxErrors: validationErrorsMax})
        return errors.map(error => withField(error, document))
      })
    },
    onExecute: ({args, setResultAndStopExecution}) => refuseCostly(args, setResultAndStopExecution),
    onSubscribe: ({args, setResultAndStopExecution}) => refuseCostly(args, setResultAndStopExecution),
    onResultProcess(processing) {
      const {result, serverContext} = processing
      if (Array.isArray(result)) return
      const shaping = shapingOf(serverContext as unknown as RequestContext)
      if (Symbol.asyncIterator in result) processing.setResult(mapped(result, each => shapedResult(each, shaping)))
      else processing.setResult(shapedResult(result, shaping))
    },
  }
}

export function shapingOf({parts, requestId}: Pick<RequestContext, 'parts' | 'requestId'>): Shaping {
  return {
    requestId,
    hints: parts.development,
    onMasked: error => parts.logger.error({err: error, requestId}, 'graphql request failed'),
  }
}

/** With anything to show for it, an answer is a success with faults in it: the status line says so. */
export function shapedResult<Result extends Pick<ExecutionResult, 'data' | 'errors'>>(
  result: Result,
  shaping: Shaping,
): Result {
  if (result.errors === undefined) return result
  const errors = shapeErrors(result.errors, shaping)
  const hasData = Object.values(result.data ?? {}).some(value => value !== null)
  return {...result, errors: hasData ? errors.map(withoutStatus) : errors}
}

export function withoutStatus(error: GraphQLError): GraphQLError {
  const {http: _http, ...extensions} = error.extensions
  return sameAt(error, error.message, extensions)
}

function refuseCostly(args: ExecutionArgs, refuse: (result: ExecutionResult) => void): void {
  const {schema, document, operationName, variableValues} = args
  try {
    checkCost({schema, document, operationName, variables: variableValues ?? {}})
  } catch (error) {
    if (!(error instanceof PublicError)) throw error
    refuse({errors: [error]})
  }
}

/** Adds which input a validation error is about, where it is about one. */
function withField(error: GraphQLError, document: DocumentNode): GraphQLError {
  const node = error.nodes?.[0]
  const argument = /argument "(\w+)" of type .* is required/.exec(error.message)?.slice(1) ?? []
  const inside = node === undefined ? [] : inputPath(document, node)
  const isNamed = node?.kind === Kind.OBJECT_FIELD
  const path = [...inside, ...argument, ...(isNamed ? [] : namedField(error.message))]
  if (path.length === 0) return error
  return sameAt(error, error.message, {...error.extensions, field: path.join('.')})
}

/** Names of the argument and the input fields that lead to a node; empty for a node that is no input. */
function inputPath(document: DocumentNode, target: ASTNode): readonly string[] {
  let found: readonly string[] = []
  visit(document, {
    enter(node, _key, parent, _path, ancestors) {
      if (node !== target) return undefined
      const nodes = [...ancestors, parent, node].filter(part => part !== undefined && 'kind' in part)
      found = nodes.flatMap(inner =>
        inner.kind === Kind.ARGUMENT || inner.kind === Kind.OBJECT_FIELD ? [inner.name.value] : [],
      )
      return BREAK
    },
  })
  return found
}

/** Written out, so that ending the outer one ends the inner one at once, also while it waits. */
function mapped<From, To>(source: AsyncIterable<From>, map: (value: From) => To): AsyncIterableIterator<To> {
  const inner = source[Symbol.asyncIterator]()
  const outer: AsyncIterableIterator<To> = {
    async next() {
      const step = await inner.next()
      return step.done === true ? {done: true, value: undefined} : {done: false, value: map(step.value)}
    },
    async return() {
      await inner.return?.()
      return {done: true, value: undefined}
    },
    [Symbol.asyncIterator]: () => outer,
  }
  return outer
}
