import {GraphQLError} from 'graphql/index.js'
import {refusalOfStatus, storeTroubleOf} from '../http/errors.ts'

/** What a caller is told of a refused or failed request; stands under `extensions`, as `ErrorBody` does over HTTP. */
interface PublicAnswer {
  readonly status: number
  readonly code: string
  readonly message: string
  /** The argument that is at fault, e.g. `minutes` or `wallTime.zone`. */
  readonly field?: string
  readonly retryable?: boolean
}

/** Thrown by resolvers to answer with exactly this; every other error is masked. */
export class PublicError extends GraphQLError {
  override readonly name = 'PublicError'
  readonly answer: PublicAnswer
  constructor(answer: PublicAnswer) {
    super(answer.message)
    this.answer = answer
  }
}

export function badInput(field: string, message: string): PublicError {
  return new PublicError({status: 400, code: 'BAD_INPUT', message, field})
}

/** Also for what exists and is not the caller's: whether it does is nobody else's business. */
export function notFound(): PublicError {
  return new PublicError({status: 404, code: 'NOT_FOUND', message: 'There is no such thing, or it is not yours.'})
}

export function unauthenticated(): PublicError {
  return new PublicError({status: 401, code: 'UNAUTHENTICATED', message: 'Sign in first: send a bearer token.'})
}

export function forbidden(): PublicError {
  return new PublicError({status: 403, code: 'FORBIDDEN', message: 'You may not do this.'})
}

export function unavailable(message: string): PublicError {
  return new PublicError({status: 503, code: 'UNAVAILABLE', message, retryable: true})
}

export interface Shaping {
  readonly requestId: string
  /** Whether messages may hint at names of the schema. */
  readonly hints: boolean
  /** Told of every error whose details the caller does not get. */
  readonly onMasked: (error: unknown) => void
}

/** At most so many errors are told at once: the first ones are what matters. */
const errorsMax = 3
/** The library quotes what it was sent, however long that is. */
const messageCharactersMax = 500

/** The errors of one answer in the one public form. Nothing else lets an error out. */
export function shapeErrors(errors: readonly GraphQLError[], shaping: Shaping): readonly GraphQLError[] {
  const {requestId} = shaping
  return errors.slice(0, errorsMax).map(error => {
    const {status, code, message: fullMessage, field, retryable = false} = answerTo(error, shaping)
    const message = fullMessage.slice(0, messageCharactersMax)
    const about = field === undefined ? {} : {field}
    // The status is for the server's status line; it is taken out before the answer is written.
    return sameAt(error, message, {code, message, ...about, retryable, requestId, http: {status, ...allowed(status)}})
  })
}

function allowed(status: number): object {
  return status === 405 ? {headers: {allow: 'POST'}} : {}
}

/** An error at the same place with other words. */
export function sameAt(error: GraphQLError, message: string, extensions: Record<string, unknown>): GraphQLError {
  const {nodes = null, source = null, positions = null, path = null} = error
  return new GraphQLError(message, {nodes, source, positions, path, extensions})
}

function answerTo(error: GraphQLError, shaping: Shaping): PublicAnswer {
  const cause = causeOf(error)
  if (cause instanceof PublicError) return cause.answer
  if (!(cause instanceof GraphQLError)) {
    shaping.onMasked(cause)
    return storeTroubleOf(cause) ?? refusalOfStatus(500)
  }
  const message = shaping.hints ? error.message : withoutHints(error.message)
  // With a path it comes from the execution of a field: only an argument can be the caller's mistake there.
  if (error.path !== undefined && !error.message.startsWith('Argument "')) {
    shaping.onMasked(error)
    return refusalOfStatus(500)
  }
  return requestFault(error, message)
}

/** A document or variables that the library refused. */
function requestFault(error: GraphQLError, message: string): PublicAnswer {
  const status = error.extensions.http?.status ?? 400
  if (status !== 400) return {...refusalOfStatus(status), message}
  const {field} = error.extensions
  const path = typeof field === 'string' ? field : variablePath(error.message)
  if (path !== null) return {status, code: 'BAD_INPUT', message, field: path.replace(/^input\.(?=.)/, '')}
  if (message.startsWith('Syntax Error')) return {status, code: 'SYNTAX_ERROR', message}
  if (message.includes('introspection has been disabled')) return {status, code: 'INTROSPECTION_OFF', message}
  return {status, code: 'INVALID_QUERY', message}
}

/** Which part of a variable the library's message is about; null when it is about none. */
function variablePath(message: string): string | null {
  const [, variable, place] =
    /^Variable "\$(\w+)" (?:got invalid value [^]*? at "([\w.[\]]+)"|got invalid value|of )/.exec(message) ?? []
  if (variable === undefined) return null
  return [place ?? variable, ...namedField(message)].join('.')
}

/** The input field that is missing or unknown, where the message is about one. */
export function namedField(message: string): readonly string[] {
  const found = /Field "(?:\w+\.)?(\w+)" (?:of required type|is not defined by type)/.exec(message)
  return found?.[1] === undefined ? [] : [found[1]]
}

function causeOf(error: GraphQLError): unknown {
  let cause: unknown = error
  while (cause instanceof GraphQLError && cause.originalError !== undefined) cause = cause.originalError
  return cause
}

function withoutHints(message: string): string {
  return message.replace(/ Did you mean [^]*$/, '')
}
