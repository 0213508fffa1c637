/**
 * Bookings per second beside the peer a user would write instead, in one run on one machine: Hourhand through its
 * dispatcher (one embedded event node, read models and processes running) and PostgreSQL 15 with one transaction per
 * booking. Both are durable: an fsync lies before every answer. Contestants take turns; medians are compared.
 *
 *     npm run bench                       all client counts, three rounds
 *     npm run bench -- --clients 32 --rounds 5 --seconds 4
 */
import {mkdirSync, writeFileSync} from 'node:fs'
import {cpus} from 'node:os'
import {parseArgs} from 'node:util'
import {idOf} from '../src/kernel/ids.ts'
import {instantFromMs} from '../src/kernel/time.ts'
import {startPostgresPeer, type PostgresPeerOptions} from './peer-postgres.ts'
import {startBareAppends} from './support/bare-appends.ts'
import {startBenchEngine} from './support/engine.ts'
import {startBenchProgram} from './support/program.ts'
import {measure, median, type Load, type Measured} from './support/load.ts'
import {machines, minutesEach, pool, realm, service, users, wishOf} from './support/work.ts'

const {values: options} = parseArgs({
  options: {
    clients: {type: 'string', default: '8,32,128'},
    rounds: {type: 'string', default: '3'},
    seconds: {type: 'string', default: '4'},
    contestants: {type: 'string', default: 'dispatcher,graphql,appends,transaction,function'},
  },
})

type Contestant = (load: Load) => Promise<Measured & {readonly catchUpMs?: number}>

const contestants: Readonly<Record<string, Contestant>> = {
  dispatcher: throughDispatcher,
  graphql: throughGraphql,
  appends: throughAppends,
  transaction: load => throughPostgres(load, 'transaction'),
  function: load => throughPostgres(load, 'function'),
}

async function throughDispatcher(load: Load): Promise<Measured & {readonly catchUpMs: number}> {
  const node = await startBenchEngine()
  const baseMs = nextHourMs()
  const measured = await measure(load, async index => {
    const {userId, startMs} = wishOf(index, baseMs)
    const caller = {userId: idOf<'User'>(userId), roles: ['customer'], requestId: `request-${index}`} as const
    const request = {
      idempotencyKey: `booking-${index}`,
      serviceId: idOf<'Service'>(service),
      realmId: idOf<'Realm'>(realm),
      start: instantFromMs(startMs),
      minutes: 60,
      zone: null,
    }
    return (await node.engine.bookings.book(caller, request)).ok
  })
  const catchUpMs = await node.catchUpMs()
  await node.stop()
  return {...measured, catchUpMs}
}

/**
 * What the store and its client alone allow: a booking's events written as the engine writes them, one append after
 * another on the streams of account, calendar and booking, and read back once, but nothing decided and nothing folded.
 */
async function throughAppends(load: Load): Promise<Measured> {
  const bare = await startBareAppends()
  const measured = await measure(load, index => bare.book(index))
  await bare.stop()
  return measured
}

async function throughPostgres(load: Load, variant: PostgresPeerOptions['variant']): Promise<Measured> {
  const peer = await startPostgresPeer({variant, connections: Math.min(load.clients, 32)})
  await peer.seed({users, minutesEach, machines, pool, services: [service]})
  const baseMs = nextHourMs()
  const measured = await measure(load, async index => {
    const {userId, startMs, endMs} = wishOf(index, baseMs)
    const interval = {start: instantFromMs(startMs), end: instantFromMs(endMs)}
    return (await peer.book({userId, service, realm, ...interval})).ok
  })
  const {overlaps} = await peer.counts()
  if (overlaps > 0) throw new Error('the peer double-booked')
  await peer.stop()
  return measured
}

function nextHourMs(): number {
  return Math.ceil(Date.now() / 3_600_000 + 1) * 3_600_000
}
async function throughGraphql(load: Load): Promise<Measured> {
  const program = await startBenchProgram()
  const baseMs = nextHourMs()
  const measured = await measure(load, async index => {
    const start = instantFromMs(wishOf(index, baseMs).startMs)
    const input = {idempotencyKey: `booking-${index}`, serviceId: service, realmId: realm, start, minutes: 60}
    const data = await program.send(program.tokens[index % program.tokens.length] ?? '', bookMutation, {input})
    return (data['book'] as {__typename: string}).__typename === 'BookSuccess'
  })
  await program.stop()
  return measured
}

const bookMutation = `mutation ($input: BookInput!) {
  book(input: $input) { __typename ... on BookSuccess { position booking { id status machine { id } } } }
}`

interface Row {
  readonly clients: number
  readonly contestant: string
  readonly bookingsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly refused: number
  /** Bookings per second over those of one transaction on PostgreSQL, medians of the same rounds. */
  readonly ratio: number
}

async function contest(clients: number, names: readonly string[], rounds: number): Promise<readonly Row[]> {
  const load: Load = {clients, warmUpMs: 1000, measureMs: Number(options.seconds) * 1000}
  const measured = new Map<string, Measured[]>(names.map(name => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const run = contestants[name]
      if (run === undefined) throw new Error(`no contestant ${name}; there are ${Object.keys(contestants).join(', ')}`)
      measured.get(name)?.push(await run(load))
    }
  }
  const medianOf = (name: string, figure: keyof Measured): number =>
    median((measured.get(name) ?? []).map(one => one[figure]))
  return names.map(contestant => ({
    clients,
    contestant,
    bookingsPerSecond: medianOf(contestant, 'perSecond'),
    p50Ms: medianOf(contestant, 'p50Ms'),
    p99Ms: medianOf(contestant, 'p99Ms'),
    refused: medianOf(contestant, 'refused'),
    ratio: medianOf(contestant, 'perSecond') / medianOf('transaction', 'perSecond'),
  }))
}

const rows: Row[] = []
for (const clients of options.clients.split(',').map(Number)) {
  rows.push(...(await contest(clients, options.contestants.split(','), Number(options.rounds))))
}
console.table(
  rows.map(({clients, contestant, bookingsPerSecond, p50Ms, p99Ms, refused, ratio}) => ({
    clients,
    contestant,
    'bookings/s': Math.round(bookingsPerSecond),
    'p50 ms': p50Ms.toFixed(1),
    'p99 ms': p99Ms.toFixed(1),
    refused,
    'x transaction': ratio.toFixed(2),
  })),
)
const machine = {cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version}
const results = new URL('./results/', import.meta.url)
mkdirSync(results, {recursive: true})
writeFileSync(
  new URL('booking.json', results),
  `${JSON.stringify({measuredAt: new Date().toISOString(), machine, rounds: Number(options.rounds), rows}, null, 2)}\n`,
)
process.exit(0)
