import {EventStoreDBClient, jsonEvent} from '@eventstore/db-client'
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {rm, writeFile} from 'node:fs/promises'
import {get, type IncomingMessage} from 'node:http'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {afterEach, beforeEach, expect, test} from 'vitest'

import {connectEventStore} from '../../src/event-store/esdb.ts'
import {BadSettings, readSettings} from '../../src/store-server/settings.ts'
import {programHome} from '../support/program.ts'
import {temporaryFolder} from '../support/store.ts'
import {freshStream, newEvent, newEvents} from '../support/store-events.ts'

const main = fileURLToPath(new URL('../../src/store-server/main.ts', import.meta.url))
const certificate = fileURLToPath(new URL('./tls/localhost-certificate.pem', import.meta.url))
const privateKey = fileURLToPath(new URL('./tls/localhost-key.pem', import.meta.url))

interface Server {
  readonly url: string
  readonly stats: string
  readonly health: string
  /** Sends the signal; resolves with the exit status and all it printed. */
  stop(signal: NodeJS.Signals): Promise<{readonly status: number | null; readonly printed: string}>
}

let folder: string
let servers: Server[]
beforeEach(async () => {
  folder = await temporaryFolder()
  servers = []
})
afterEach(async () => {
  for (const server of servers) await server.stop('SIGKILL')
  await rm(folder, {recursive: true, force: true})
})

async function startServer(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<Server> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', main, '--port', '0', '--data', folder, ...args],
    {env: {PATH: process.env.PATH, ...env}, stdio: ['ignore', 'pipe', 'pipe']},
  )
  let printed = ''
  const ready = Promise.withResolvers<Record<'eventStoreUrl' | 'stats' | 'health', string>>()
  const ended = once(child, 'close').then(([status]) => {
    ready.reject(new Error(`the store ended: ${printed}`))
    return {status: status as number | null, printed}
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (printed += chunk))
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    printed += chunk
    const line = printed.split('\n').find(one => one.includes('the store is ready'))
    if (line !== undefined) ready.resolve(JSON.parse(line) as Record<'eventStoreUrl' | 'stats' | 'health', string>)
  })
  const {eventStoreUrl, stats, health} = await ready.promise
  const server: Server = {
    url: eventStoreUrl,
    stats,
    health,
    async stop(signal) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal)
      return ended
    },
  }
  servers.push(server)
  return server
}

test.each(['SIGTERM', 'SIGINT'] as const)('%s ends it in order, and the next start has all', async signal => {
  const server = await startServer()
  const store = connectEventStore(server.url)
  const stream = freshStream()
  await store.append(stream, 'noStream', newEvents(3))
  await store.close()
  const {status, printed} = await server.stop(signal)
  expect(status).toBe(0)
  expect(printed).toContain('"msg":"stopped"')
  const again = await startServer()
  const reader = connectEventStore(again.url)
  expect(await reader.readStream(stream, {maxCount: 10})).toHaveLength(3)
  await reader.close()
})

test('says how it is: health, positions, sizes, rates, times of the disk, connections and subscriptions', async () => {
  const server = await startServer()
  const store = connectEventStore(server.url)
  for (let number = 0; number < 10; number++) await store.append(freshStream(), 'any', [newEvent(number)])
  const abort = new AbortController()
  const subscription = store.subscribeToAll({signal: abort.signal})[Symbol.asyncIterator]()
  await subscription.next()
  expect(await (await fetch(server.health)).json()).toEqual({status: 'ok'})
  const stats: unknown = await (await fetch(server.stats)).json()
  expect(stats).toMatchObject({
    log: {lastPosition: 11, logBytes: expect.any(Number), writeAheadBytes: expect.any(Number)},
    appends: {writes: 10, events: 10, groups: expect.any(Number), commitMs: {max: expect.any(Number)}},
    connections: {open: 1, refused: 0, max: 1024},
    reads: {open: 1, subscriptions: 1, refused: 0, max: 4096},
  })
  expect((stats as {appends: {commitMs: {max: number}}}).appends.commitMs.max).toBeGreaterThan(0)
  abort.abort()
  await store.close()
})

test('answers no page of a browser that calls this machine by another name', async () => {
  const server = await startServer()
  const asked = get(server.stats, {headers: {host: 'rebound.example'}})
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  response.resume()
  expect(response.statusCode).toBe(403)
})

test('a second store on the folder is refused with a reason', async () => {
  await startServer()
  await expect(startServer()).rejects.toThrow('another process works in')
})

test('with TLS and an account only who names the account gets in, whatever he calls', async () => {
  const passwordFile = join(folder, 'password')
  await writeFile(passwordFile, 'a long password\n')
  const tls = ['--tls-cert', certificate, '--tls-key', privateKey, '--user', 'hourhand']
  const server = await startServer([...tls, '--host', '127.0.0.1', '--password-file', passwordFile])
  const {port} = new URL(server.url)
  const connect = (account: string): EventStoreDBClient =>
    EventStoreDBClient.connectionString(`esdb://${account}localhost:${port}?tlsCAFile=${certificate}`)
  const known = connect('hourhand:a%20long%20password@')
  const stream = freshStream()
  await known.appendToStream(stream, jsonEvent({type: 'Tested', data: {number: 1}}))
  expect(await Array.fromAsync(known.readStream(stream))).toHaveLength(1)
  for (const account of ['', 'hourhand:wrong@', 'admin:changeit@']) {
    const unknown = connect(account)
    await expect(Array.fromAsync(unknown.readStream(stream))).rejects.toThrow(/credentials|denied|UNAUTHENTICATED/i)
    await expect(unknown.appendToStream(stream, jsonEvent({type: 'Tested', data: {}}))).rejects.toThrow()
    await unknown.dispose()
  }
  const plain = EventStoreDBClient.connectionString(`esdb://127.0.0.1:${port}?tls=false`)
  await expect(plain.appendToStream(stream, jsonEvent({type: 'Tested', data: {}}))).rejects.toThrow()
  expect(await Array.fromAsync(known.readStream(stream))).toHaveLength(1)
  await plain.dispose()
  await known.dispose()
})

test('two Hourhand programs share it', async () => {
  const server = await startServer()
  const homes = [await programHome(), await programHome()]
  for (const home of homes) await home.start({EVENTSTORE_URL: server.url})
  for (const home of homes) await home.close()
})

test.each([
  [['--host', '0.0.0.0'], {}, 'only with TLS and an account'],
  [['--host', 'store.example.org'], {}, 'only with TLS and an account'],
  [['--user', 'hourhand'], {STORE_PASSWORD: 'x'}, 'belong together'],
  [['--tls-cert', certificate, '--tls-key', privateKey], {}, 'belong together'],
  [['--tls-cert', certificate, '--tls-key', privateKey, '--user', 'a:b'], {STORE_PASSWORD: 'x'}, 'colon'],
  [['--tls-key', '/nowhere'], {}, '--tls-key cannot be read (ENOENT)'],
  [['--port', '70000'], {}, '--port is no port'],
  [['--port', '1', '--http-port', 'x'], {}, '--http-port is no port'],
  [['--log-level', 'loud'], {}, '--log-level is none of'],
  [['--prot', '1'], {}, '--prot'],
  [['stray'], {}, 'stray'],
])('refuses %j', (args, env, reason) => {
  expect(() => readSettings(args, env)).toThrow(BadSettings)
  expect(() => readSettings(args, env)).toThrow(reason)
})

test('options go before the environment, and all faults are told at once', () => {
  const env = {STORE_PORT: '4000', STORE_DATA: '/srv/store', STORE_HOST: ' '}
  expect(readSettings(['--port', '5000'], env)).toMatchObject({
    dataFolder: '/srv/store',
    host: '127.0.0.1',
    port: 5000,
    httpPort: 5001,
    security: undefined,
  })
  const faulty = (): unknown => readSettings(['--port', 'x', '--log-level', 'y', '--host', '10.0.0.1'], {})
  expect(faulty).toThrow(/--port[^]*--log-level[^]*TLS/)
})
