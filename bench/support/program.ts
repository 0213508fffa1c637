import {spawn} from 'node:child_process'
import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {machines, minutesEach, pool, service} from './work.ts'

/** The program as `npm start` runs it, on an empty data folder, with users and machines made through its own API. */
export interface BenchProgram {
  /** One bearer token for each customer. */
  readonly tokens: readonly string[]
  send(token: string, query: string, variables: unknown): Promise<Readonly<Record<string, unknown>>>
  stop(): Promise<void>
}

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** Fewer than in the other contests: each needs a token of its own. */
export const customers = 100

export async function startBenchProgram(): Promise<BenchProgram> {
  const folder = mkdtempSync(join(tmpdir(), 'hourhand-bench-'))
  const environment = {...process.env, HOURHAND_DATA: folder, HOURHAND_PORT: '0', NODE_ENV: 'development'}
  const child = spawn(process.execPath, [main], {cwd: folder, env: environment, stdio: ['ignore', 'pipe', 'inherit']})
  // Also when the benchmark itself fails.
  process.once('exit', () => child.kill('SIGKILL'))
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const {url, signIn} = await bannerOf(child.stdout)

  const send: BenchProgram['send'] = async (token, query, variables) => {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: {'content-type': 'application/json', authorization: `Bearer ${token}`},
      body: JSON.stringify({query, variables}),
    })
    const {data, errors} = (await response.json()) as {data?: Record<string, unknown>; errors?: {message: string}[]}
    if (data === undefined || data === null) throw new Error(errors?.[0]?.message ?? `HTTP ${response.status}`)
    return data
  }
  const owner = await signedIn(url, signIn)
  const tokens = await seed((query, input) => send(owner, query, {input}))
  return {
    tokens,
    send,
    async stop() {
      child.kill('SIGINT')
      await exited
      rmSync(folder, {recursive: true, force: true})
    },
  }
}

function bannerOf(output: NodeJS.ReadableStream): Promise<{url: string; signIn: string}> {
  let text = ''
  return new Promise((resolve, reject) => {
    output.on('data', chunk => {
      text += String(chunk)
      const [, url] = /(http:\/\/127\.0\.0\.1:\d+)/.exec(text) ?? []
      const [, signIn] = /\/sign-in#(\S+)/.exec(text) ?? []
      if (url !== undefined && signIn !== undefined) resolve({url, signIn})
    })
    output.on('end', () => reject(new Error(`the program ended before it was ready: ${text}`)))
  })
}

async function signedIn(url: string, token: string): Promise<string> {
  const response = await fetch(`${url}/sign-in`, {
    method: 'POST',
    headers: {'content-type': 'application/json'},
    body: JSON.stringify({token}),
  })
  return ((await response.json()) as {accessToken: string}).accessToken
}

type Mutate = (query: string, input: unknown) => Promise<Readonly<Record<string, unknown>>>

async function seed(send: Mutate): Promise<readonly string[]> {
  const mutate: Mutate = async (query, input) => {
    const data = await send(query, input)
    const refused = Object.values(data).find(answer => !(answer as {__typename: string}).__typename.endsWith('Success'))
    if (refused !== undefined) throw new Error(`refused: ${JSON.stringify({refused, input})}`)
    return data
  }
  for (const machine of machines) {
    const driver = {kind: 'simulated', config: {bootSeconds: 20, stopSeconds: 5}}
    const input = {
      idempotencyKey: machine,
      machineId: machine,
      name: machine,
      poolId: pool,
      serviceIds: [service],
      driver,
    }
    await mutate('mutation ($input: RegisterMachineInput!) { registerMachine(input: $input) { __typename } }', input)
  }
  const customer = async (index: number): Promise<string> => {
    const idempotencyKey = `customer-${index}`
    const registered = await mutate(
      `mutation ($input: RegisterUserInput!) {
        registerUser(input: $input) { __typename ... on RegisterUserSuccess { user { id } } }
      }`,
      {idempotencyKey, displayName: `Customer ${index}`, roles: ['CUSTOMER']},
    )
    const userId = (registered['registerUser'] as {user: {id: string}}).user.id
    await mutate('mutation ($input: GrantHoursInput!) { grantHours(input: $input) { __typename } }', {
      idempotencyKey: `hours-${index}`,
      userId,
      minutes: minutesEach,
      reason: 'bench',
    })
    const issued = await mutate(
      `mutation ($input: IssueTokenInput!) {
        issueToken(input: $input) { __typename ... on IssueTokenSuccess { token } }
      }`,
      {idempotencyKey: `token-${index}`, userId},
    )
    return (issued['issueToken'] as {token: string}).token
  }
  return Promise.all(Array.from({length: customers}, (_, index) => customer(index)))
}
