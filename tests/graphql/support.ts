import {randomUUID} from 'node:crypto'
import type {TestEngine, TestUser} from '../support/engine.ts'

/** What came back over HTTP. */
export interface Reply {
  readonly status: number
  readonly headers: Headers
  // The tests look into answers of many shapes.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any
}

export interface AskOptions {
  readonly as?: TestUser | string
  readonly variables?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
}

export async function ask(engine: TestEngine, query: string, options: AskOptions = {}): Promise<Reply> {
  return post(engine, JSON.stringify({query, variables: options.variables}), options)
}

/** Sends any bytes as the body. */
export async function post(engine: TestEngine, body: string, options: AskOptions = {}): Promise<Reply> {
  const response = await fetch(`${engine.url}/graphql`, {
    method: 'POST',
    headers: {'content-type': 'application/json', ...authorization(options.as), ...options.headers},
    body,
  })
  return {status: response.status, headers: response.headers, body: parsed(await response.text())}
}

export function authorization(as: TestUser | string | undefined): Record<string, string> {
  if (as === undefined) return {}
  return {authorization: `Bearer ${typeof as === 'string' ? as : as.token()}`}
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return text
    throw error
  }
}

/** The answer to `mutation { <name>(input: …) }`: its payload with the type's name and all that tests ask of it. */
export async function mutate(
  engine: TestEngine,
  name: string,
  input: Readonly<Record<string, unknown>>,
  as: TestUser | string,
  fields = '',
  // oxlint-disable-next-line typescript/no-explicit-any
): Promise<any> {
  const inputType = `${name[0]?.toUpperCase()}${name.slice(1)}Input`
  const query = `mutation ($input: ${inputType}!) {
    ${name}(input: $input) { __typename ... on Refusal { code message field } ${fields} }
  }`
  const variables = {input: {idempotencyKey: randomUUID(), ...input}}
  const {status, body} = await ask(engine, query, {as, variables})
  if (status !== 200 || body.errors !== undefined) throw new Error(`${name} failed: ${JSON.stringify(body)}`)
  return body.data[name]
}

export const bookFields = `... on BookSuccess { position booking { id status start end minutes } }`

/** Books an hour, or what is said instead, and answers the payload. */
export function book(engine: TestEngine, as: TestUser, input: Readonly<Record<string, unknown>>, fields = bookFields) {
  return mutate(engine, 'book', {serviceId: 'ench', realmId: 'EU', minutes: 60, ...input}, as, fields)
}

/** The code of the one error of an answer, with its status. */
export function faultOf({status, body}: Reply) {
  const {code, field, retryable, requestId} = body.errors[0].extensions
  return {status, code, field, retryable, hasRequestId: typeof requestId === 'string' && requestId !== ''}
}
