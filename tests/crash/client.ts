import {setTimeout as after} from 'node:timers/promises'
import {idOf, type UserId} from '../../src/kernel/ids.ts'
import {tokensOf, type CrashNode, type TestClock} from './nodes.ts'

/** One wish of one user under one key: sent again, to whichever node serves, until it is answered. */
export interface Call {
  readonly key: string
  readonly userId: UserId
  readonly mutation: 'book' | 'cancelBooking' | 'grantHours' | 'markCheckoutPaid' | 'registerUser' | 'startCheckout'
  readonly input: Readonly<Record<string, unknown>>
  /** What is asked of a success, in GraphQL. */
  readonly fields: string
}

export type Answer = Readonly<Record<string, unknown>> & {readonly __typename: string}

/** What the program said it did: nothing of it may ever be lost. */
export interface Acknowledged extends Call {
  readonly answer: Answer
}

export interface Client {
  /** Every wish ever sent, answered or not, by its key. */
  readonly sent: ReadonlyMap<string, Call>
  readonly acknowledged: readonly Acknowledged[]
  requests(): number
  /** Requests sent once more because no answer came, or one that said to. */
  repeated(): number
  /** Resolves with the answer, however many programs it takes; null when `signal` came first. Default: of any node. */
  send(call: Call, signal: AbortSignal, node?: CrashNode): Promise<Answer | null>
  /** Asks once and walks away, answered or not. */
  sendOnce(call: Call, node?: CrashNode): Promise<Answer | null>
  /** A query, asked once. */
  ask<Data>(node: CrashNode, userId: UserId, document: string, variables?: Record<string, unknown>): Promise<Data>
}

export interface ClientParts {
  readonly nodes: readonly CrashNode[]
  readonly clock: TestClock
  /** Chooses the node to ask, from 0 to 1. */
  readonly chance: () => number
  readonly report: (violation: string) => void
  /** An answer that does not come is given up after this: its program may stand still. */
  readonly answerMsMax: number
}

const retryMs = 40

interface Reply {
  readonly data?: {readonly result: Answer} | null
  readonly errors?: readonly {readonly message: string; readonly extensions?: {readonly retryable?: boolean}}[]
}

export function createClient({nodes, clock, chance, report, answerMsMax}: ClientParts): Client {
  const tokens = tokensOf(clock)
  const sent = new Map<string, Call>()
  const acknowledged: Acknowledged[] = []
  const tried = new Set<string>()
  let requests = 0
  let repeated = 0
  let position = -1n

  const post = (url: string, userId: UserId, body: unknown, signal?: AbortSignal): Promise<Reply> => {
    const limit = AbortSignal.timeout(answerMsMax)
    const token = tokens.issueAccess({userId, roles: []})
    return postTo(url, {token, position}, body, signal === undefined ? limit : AbortSignal.any([limit, signal]))
  }

  /** Null: no answer, or one that says to try again. */
  const attempt = async (call: Call, node?: CrashNode, signal?: AbortSignal): Promise<Answer | null> => {
    const serving = (node === undefined ? nodes : [node]).flatMap(one => one.serving() ?? [])
    const program = serving[Math.floor(chance() * serving.length)]
    if (program === undefined) return null
    requests++
    if (tried.has(call.key)) repeated++
    tried.add(call.key)
    let reply: Reply
    try {
      const input = {idempotencyKey: call.key, ...call.input}
      reply = await post(program.url, call.userId, {query: documentOf(call), variables: {input}}, signal)
    } catch {
      // A broken connection says nothing of what became of the request: it is sent again.
      return null
    }
    const errors = reply.errors ?? []
    if (errors.length === 0 && reply.data?.result !== undefined) return reply.data.result
    if (!errors.every(({extensions}) => extensions?.retryable === true)) {
      report(`${call.mutation} ${call.key} was answered ${JSON.stringify(reply)}`)
    }
    return null
  }

  const keep = (call: Call, answer: Answer | null): Answer | null => {
    if (answer === null) return null
    acknowledged.push({...call, answer})
    const reached = BigInt((answer as {readonly position?: string}).position ?? -1)
    if (reached > position) position = reached
    return answer
  }

  return {
    sent,
    acknowledged,
    requests: () => requests,
    repeated: () => repeated,
    async send(call, signal, node) {
      sent.set(call.key, call)
      while (!signal.aborted) {
        const answer = await attempt(call, node, signal)
        if (answer !== null) return keep(call, answer)
        await after(retryMs)
      }
      return null
    },
    async sendOnce(call, node) {
      sent.set(call.key, call)
      return keep(call, await attempt(call, node))
    },
    async ask<Data>(node: CrashNode, userId: UserId, document: string, variables = {}) {
      const program = node.serving()
      if (program === null) throw new Error(`${node.name} does not serve`)
      const {data, errors} = await post(program.url, userId, {query: document, variables})
      if (errors !== undefined) throw new Error(JSON.stringify(errors))
      return data as Data
    },
  }
}

async function postTo(
  url: string,
  {token, position}: {readonly token: string; readonly position: bigint},
  body: unknown,
  signal: AbortSignal,
): Promise<Reply> {
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    // Whatever one node has acknowledged, every node must know of.
    ...(position < 0n ? {} : {'x-hourhand-position': String(position)}),
  }
  const response = await fetch(`${url}/graphql`, {method: 'POST', headers, body: JSON.stringify(body), signal})
  return (await response.json()) as Reply
}

function documentOf({mutation, fields}: Call): string {
  const name = `${mutation[0]?.toUpperCase()}${mutation.slice(1)}`
  return `mutation ($input: ${name}Input!) {
    result: ${mutation}(input: $input) { __typename ... on Refusal { code position } ... on ${name}Success { position ${fields} } }
  }`
}

/** `Booking:1234` → `1234`. */
export const rawId = (globalId: string): string => globalId.slice(globalId.indexOf(':') + 1)

export const userIdOf = (globalId: string): UserId => idOf<'User'>(rawId(globalId))
