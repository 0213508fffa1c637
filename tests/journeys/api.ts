import {expect} from 'vitest'
import type {Program, RunningProgram} from '../support/program.ts'
import {openWatch, type Watch} from './watch.ts'

/** GraphQL over HTTP as one user of a running program, or as nobody. */
export interface Api {
  readonly userId: string | null
  readonly token: string | null
  /** The data of an answer; fails the test when there are errors in it. */
  ask<Data>(document: string, variables?: Variables): Promise<Data>
  /** The answer as it is. */
  send(document: string, variables?: Variables): Promise<HttpAnswer>
  /** What a mutation answered: the fields of its result. */
  change<Data = Record<string, unknown>>(mutation: string, input: Variables, fields?: string): Promise<Result<Data>>
  /** Opens a subscription. */
  watch<Data>(document: string, variables?: Variables): Promise<Watch<Data>>
}

export type Variables = Readonly<Record<string, unknown>>
export type Result<Data> = Data & {readonly __typename: string}

export interface HttpAnswer {
  readonly status: number
  readonly body: {readonly data?: unknown; readonly errors?: readonly GraphqlError[]}
}

interface GraphqlError {
  readonly message: string
  readonly extensions: {readonly code: string; readonly retryable: boolean; readonly field?: string}
}

export function apiOf(program: RunningProgram, who: {userId: string; token: string} | null): Api {
  const url = `${program.url}/graphql`
  const authorization: Record<string, string> = who === null ? {} : {authorization: `Bearer ${who.token}`}

  const send = async (query: string, variables: Variables = {}): Promise<HttpAnswer> => {
    const response = await fetch(url, {
      method: 'POST',
      headers: {...authorization, 'content-type': 'application/json'},
      body: JSON.stringify({query, variables}),
    })
    return {status: response.status, body: (await response.json()) as HttpAnswer['body']}
  }
  const ask = async <Data>(query: string, variables?: Variables): Promise<Data> => {
    const {status, body} = await send(query, variables)
    expect({status, errors: body.errors}).toEqual({status: 200, errors: undefined})
    return body.data as Data
  }
  return {
    userId: who?.userId ?? null,
    token: who?.token ?? null,
    send,
    ask,
    async change<Data>(mutation: string, input: Variables, fields = '') {
      const name = `${mutation[0]?.toUpperCase()}${mutation.slice(1)}`
      const answer = await ask<{result: Result<Data>}>(
        `mutation ($input: ${name}Input!) {
          result: ${mutation}(input: $input) { __typename ... on Refusal { code field } ${fields} }
        }`,
        {input: {idempotencyKey: newKey(), ...input}},
      )
      return answer.result
    },
    watch: <Data>(query: string, variables: Variables = {}) =>
      openWatch<Data>({url, headers: authorization, query, variables}),
  }
}

let keys = 0

/** A key never used before. */
export function newKey(): string {
  return `key-${process.pid}-${(keys += 1)}`
}

/** The one-time sign-in token in what a program printed. */
export function signInTokenOf(program: Program): string {
  const [, token] = /\/sign-in#(\S+)/.exec(program.printed()) ?? []
  if (token === undefined) throw new Error(`no sign-in link in:\n${program.printed()}`)
  return token
}

export async function redeem(program: RunningProgram, token: string): Promise<Response> {
  return fetch(`${program.url}/sign-in`, {
    method: 'POST',
    headers: {'content-type': 'application/json'},
    body: JSON.stringify({token}),
  })
}

/** Signs the owner in with the link that the program printed when it started. */
export async function signInOwner(program: RunningProgram): Promise<Api> {
  const response = await redeem(program, signInTokenOf(program))
  expect(response.status).toBe(200)
  const {accessToken, userId} = (await response.json()) as {accessToken: string; userId: string}
  return apiOf(program, {userId, token: accessToken})
}

/** Registers a user, and speaks for them from then on with a token that the owner issues. */
export async function registerUser(
  program: RunningProgram,
  owner: Api,
  displayName: string,
  roles: readonly string[] = ['CUSTOMER'],
): Promise<Api> {
  const registered = await owner.change<{user: {id: string}}>(
    'registerUser',
    {displayName, roles},
    '... on RegisterUserSuccess { user { id } }',
  )
  expect(registered.__typename).toBe('RegisterUserSuccess')
  return tokenFor(program, owner, registered.user.id)
}

export async function tokenFor(program: RunningProgram, owner: Api, userId: string): Promise<Api> {
  const issued = await owner.change<{token: string}>('issueToken', {userId}, '... on IssueTokenSuccess { token }')
  expect(issued.__typename).toBe('IssueTokenSuccess')
  return apiOf(program, {userId, token: issued.token})
}

/** The same user, spoken for to a program that was started anew: tokens outlive a restart. */
export function again(program: RunningProgram, {userId, token}: Api): Api {
  return apiOf(program, userId === null || token === null ? null : {userId, token})
}
