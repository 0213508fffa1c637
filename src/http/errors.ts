/** What every refused or failed request is answered with; GraphQL has the same under `extensions`. */
export interface ErrorBody {
  /** For programs: upper snake case, stable. */
  readonly code: string
  /** For people: a sentence without values, paths or secrets. */
  readonly message: string
  /** The input that is at fault, where it is one. */
  readonly field?: string
  /** Whether the same request may succeed later. */
  readonly retryable: boolean
  /** The same as in the `x-request-id` header and in the log. */
  readonly requestId: string
}

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly field?: string
  /** Default: true for 408, 429, 502, 503 and 504. */
  readonly retryable?: boolean
  readonly headers?: Readonly<Record<string, string>>
}

/** Thrown by an edge to end a request with a chosen answer. Its message is shown to the caller as it is. */
export class HttpError extends Error {
  override readonly name = 'HttpError'
  readonly refusal: Refusal
  constructor(refusal: Refusal) {
    super(refusal.message)
    this.refusal = refusal
  }
}

export function errorBody({status, code, message, field, retryable}: Refusal, requestId: string): ErrorBody {
  const isRetryable = retryable ?? [408, 429, 502, 503, 504].includes(status)
  return {code, message, ...(field === undefined ? {} : {field}), retryable: isRetryable, requestId}
}

/**
 * What a caller is told of anything that was thrown. Only an `HttpError` speaks for itself; of the errors of Fastify
 * and of plugins the status is kept and the words are ours; a failure of the event store is told as such; everything
 * else is a bug of ours: 500, without details.
 */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof HttpError) return error.refusal
  const code = textAt(error, 'code')
  const known = code === null ? undefined : fastifyRefusals.get(code)
  if (known !== undefined) return known
  const status = statusOf(error)
  if (status === null) return storeTroubleOf(error) ?? refusalOfStatus(500)
  if (code !== 'FST_ERR_VALIDATION') return refusalOfStatus(status)
  const field = fieldOf(error)
  const message = 'The input does not have the form that is asked for.'
  return {status: 400, code: 'BAD_INPUT', message, ...(field === null ? {} : {field})}
}

/** What a caller is told of a failure of the event store or of what waits for it; null: it is none. */
export function storeTroubleOf(error: unknown): Refusal | null {
  return error instanceof Error ? (storeTroubles.get(error.name) ?? null) : null
}

/** By name: the classes belong to an adapter's port and are not known here. */
const storeTroubles: ReadonlyMap<string, Refusal> = new Map([
  ['StoreUnavailable', trouble(503, 'UNAVAILABLE', 'The event store cannot be reached. Nothing was written.')],
  [
    'OutcomeUnknown',
    trouble(503, 'UNAVAILABLE', 'Whether this was written is not known. Repeat it with the same idempotencyKey.'),
  ],
  ['QueueFull', trouble(503, 'UNAVAILABLE', 'Too much is waiting to be written. Try again shortly.')],
  ['TooManyConflicts', trouble(409, 'CONFLICT', 'Too many others are changing this. Try again shortly.')],
  [
    'CameTooLate',
    trouble(503, 'CAME_TOO_LATE', 'It took too long to get to this. Nothing was written: send it again as it was.'),
  ],
])

function trouble(status: number, code: string, message: string): Refusal {
  return {status, code, message, retryable: true}
}

export function refusalOfStatus(status: number): Refusal {
  const [code, message] = byStatus.get(status) ?? fallback(status)
  return {status, code, message}
}

const byStatus: ReadonlyMap<number, readonly [code: string, message: string]> = new Map([
  [400, ['BAD_REQUEST', 'The request is not well formed.']],
  [401, ['UNAUTHENTICATED', 'Sign in first.']],
  [403, ['FORBIDDEN', 'You may not do this.']],
  [404, ['NOT_FOUND', 'There is nothing here.']],
  [405, ['METHOD_NOT_ALLOWED', 'This address does not take this method.']],
  [408, ['REQUEST_TIMEOUT', 'The request took too long to arrive.']],
  [413, ['BODY_TOO_LARGE', 'The body is too large.']],
  [414, ['URL_TOO_LONG', 'The address is too long.']],
  [415, ['UNSUPPORTED_MEDIA_TYPE', 'The body is of a type that is not taken here.']],
  [417, ['EXPECTATION_FAILED', 'The expectation in the request cannot be met.']],
  [429, ['RATE_LIMITED', 'Too many requests. Try again later.']],
  [431, ['HEADERS_TOO_LARGE', 'The headers are too large.']],
  [500, ['INTERNAL', 'Something went wrong on our side. The request id names it in our log.']],
  [501, ['NOT_IMPLEMENTED', 'This method is not known here.']],
  [503, ['UNAVAILABLE', 'Not available right now. Try again shortly.']],
])

function fallback(status: number): readonly [code: string, message: string] {
  return status < 500
    ? ['BAD_REQUEST', 'The request was refused.']
    : ['INTERNAL', 'Something went wrong on our side. The request id names it in our log.']
}

const badJson: Refusal = {status: 400, code: 'BAD_JSON', message: 'The body is not valid JSON.'}

const fastifyRefusals: ReadonlyMap<string, Refusal> = new Map([
  ['FST_ERR_CTP_INVALID_JSON_BODY', badJson],
  ['FST_ERR_CTP_EMPTY_JSON_BODY', badJson],
  ['FST_ERR_BAD_URL', {status: 400, code: 'BAD_URL', message: 'The address is not well formed.'}],
])

function statusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null) return null
  const {statusCode, status} = error as {readonly statusCode?: unknown; readonly status?: unknown}
  const found = [statusCode, status].find(value => typeof value === 'number')
  return typeof found === 'number' && Number.isInteger(found) && found >= 400 && found <= 599 ? found : null
}

function textAt(error: unknown, property: string): string | null {
  if (typeof error !== 'object' || error === null) return null
  const value = (error as Readonly<Record<string, unknown>>)[property]
  return typeof value === 'string' ? value : null
}

/** The field that schema validation stumbled on, as `a.b`. */
function fieldOf(error: unknown): string | null {
  const {validation} = error as {readonly validation?: unknown}
  const path: unknown = Array.isArray(validation) ? textAt(validation[0], 'instancePath') : null
  return typeof path === 'string' && path !== '' ? path.slice(1).replaceAll('/', '.') : null
}
