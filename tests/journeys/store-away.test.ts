import {execFile} from 'node:child_process'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, onTestFinished, test} from 'vitest'
import {startEmbeddedNode, type EmbeddedNode} from '../../src/embedded-node/node.ts'
import {programHome, type ProgramHome, type RunningProgram} from '../support/program.ts'
import {again, newKey, registerUser, signInOwner, type Api, type HttpAnswer} from './api.ts'

const freshHome = async (): Promise<ProgramHome> => {
  const home = await programHome()
  onTestFinished(() => home.close())
  return home
}

/** A store that is a server of its own, on a port that it keeps. */
async function outsideStore() {
  const dataDir = await mkdtemp(join(tmpdir(), 'hourhand-outside-'))
  let node: EmbeddedNode | null = await startEmbeddedNode({dataDir, host: '127.0.0.1'})
  const {port} = node
  const stop = async (): Promise<void> => {
    await node?.close()
    node = null
  }
  onTestFinished(async () => {
    await stop()
    await rm(dataDir, {recursive: true, force: true})
  })
  return {
    environment: {EVENTSTORE_URL: `esdb://127.0.0.1:${port}?tls=false`},
    stop,
    async start() {
      node = await startEmbeddedNode({dataDir, host: '127.0.0.1', port})
    },
  }
}

const grant = `mutation ($input: GrantHoursInput!) {
  grantHours(input: $input) { __typename ... on GrantHoursSuccess { balance { availableMinutes } } }
}`
const balance = '{ viewer { balance { availableMinutes } } }'

/** An hour for a customer, under one key: however often it is sent, it is one hour. */
const hourFor = (owner: Api, {userId}: Api, key: string): Promise<HttpAnswer> =>
  owner.send(grant, {input: {idempotencyKey: key, userId, minutes: 60, reason: 'a gift'}})

const granted = (availableMinutes: number) => ({
  status: 200,
  body: {data: {grantHours: {__typename: 'GrantHoursSuccess', balance: {availableMinutes}}}},
})
const retryLater = {status: 503, body: {errors: [{extensions: {code: 'UNAVAILABLE', retryable: true}}]}}

async function statusOf(url: string, name: 'live' | 'ready'): Promise<number> {
  return (await fetch(`${url}/health/${name}`)).status
}

test('a store that is not there at the start is waited for: live, not ready, reads go on, commands are told to retry', async () => {
  const store = await outsideStore()
  const home = await freshHome()
  const first = await home.start(store.environment)
  const owner = await signInOwner(first)
  const customer = await registerUser(first, owner, 'Ada')
  expect(await hourFor(owner, customer, newKey())).toMatchObject(granted(60))
  await first.stop()
  await store.stop()

  const waiting = home.launch(store.environment)
  const [, url = ''] = await waiting.untilPrinted(/^Waiting for the event store; see (.+)\/health\/ready$/m)
  const program: RunningProgram = {...waiting, url}
  expect(await statusOf(url, 'live')).toBe(200)
  expect(await statusOf(url, 'ready')).toBe(503)
  expect(await again(program, customer).ask(balance)).toEqual({viewer: {balance: {availableMinutes: 60}}})
  const key = newKey()
  expect(await hourFor(again(program, owner), customer, key)).toMatchObject(retryLater)

  await store.start()
  await waiting.untilPrinted(/^Hourhand is ready/m)
  expect(await statusOf(url, 'ready')).toBe(200)
  expect(await hourFor(again(program, owner), customer, key)).toMatchObject(granted(120))
  expect(await hourFor(again(program, owner), customer, key)).toMatchObject(granted(120))
})

test('a store that goes away and comes back is lived through without a restart', async () => {
  const store = await outsideStore()
  const home = await freshHome()
  const program = await home.start(store.environment)
  const owner = await signInOwner(program)
  const customer = await registerUser(program, owner, 'Ada')
  await store.stop()
  const key = newKey()
  expect(await hourFor(owner, customer, key)).toMatchObject(retryLater)
  expect(await statusOf(program.url, 'ready')).toBe(503)
  expect(await statusOf(program.url, 'live')).toBe(200)

  await store.start()
  const readyAgain = async (): Promise<boolean> => (await statusOf(program.url, 'ready')) === 200
  for (let looks = 0; looks < 1000 && !(await readyAgain()); looks++);
  expect(await hourFor(owner, customer, key)).toMatchObject(granted(60))
  expect(await program.stop()).toEqual({code: 0, signal: null})
})

test('with a store of its own that fails, the program ends with 1 and says why; what it acknowledged is kept', async () => {
  const home = await freshHome()
  const program = await home.start()
  const owner = await signInOwner(program)
  const customer = await registerUser(program, owner, 'Ada')
  expect(await hourFor(owner, customer, newKey())).toMatchObject(granted(60))
  // From now on the system refuses every write of the process beyond a file's first bytes, as a full disk would.
  await promisify(execFile)('prlimit', ['--pid', String(program.pid), '--fsize=1024:'])
  const key = newKey()
  expect(await hourFor(owner, customer, key)).toMatchObject(retryLater)
  expect(await program.exited).toEqual({code: 1, signal: null})
  expect(program.printed()).toMatch(/^Stopped: the embedded node stopped: .+$/m)

  const next = await home.start()
  expect(await again(next, customer).ask(balance)).toEqual({viewer: {balance: {availableMinutes: 60}}})
  expect(await hourFor(again(next, owner), customer, key)).toMatchObject(granted(120))
})
