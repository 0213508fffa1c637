/**
 * How soon the program is ready again on a log of many events, read models present: by hand,
 * `node tests/crash/large-log.ts [--events 1000000] [--starts 5]`.
 */
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {parseArgs} from 'node:util'
import type {AppendWrite} from '../../src/embedded-node/records.ts'
import {openStore, type Store} from '../../src/embedded-node/store.ts'
import {derivedUuid, idOf} from '../../src/kernel/ids.ts'
import {instantFromMs} from '../../src/kernel/time.ts'
import {createClient} from './client.ts'
import {registerCustomers} from './customers.ts'
import {crashNode, ownerId, testClock} from './nodes.ts'
import {startPark} from './park.ts'

const users = 500
const pools = ['eu', 'na', 'kr'] as const
const hourMs = 3_600_000
const eventsPerBooking = 6

/** Bookings that were made, served and settled, one after the other in the past. */
function fill(dataFolder: string, events: number): void {
  const store = openStore(join(dataFolder, 'events'), () => Date.now(), {storage: 'unsynced'})
  const beginMs = Date.now() - (events / eventsPerBooking) * 0.5 * hourMs
  store.commit(Array.from({length: users}, (_, user) => grantFor(user, events, beginMs)))
  const batch = 500
  for (let done = 0; done * eventsPerBooking < events; done += batch) {
    const bookings = Array.from({length: batch}, (_, index) => lifeOf(done + index, beginMs))
    commitAll(store, bookings.flat())
  }
  store.close()
}

function commitAll(store: Store, writes: readonly AppendWrite[]): void {
  store.commit(writes)
  store.checkpointIfDue()
}

const userOf = (index: number): string => derivedUuid('user', String(index % users))

function grantFor(user: number, events: number, atMs: number): AppendWrite {
  const data = {
    grantId: derivedUuid('grant', String(user)),
    minutes: 60 * events,
    source: {type: 'operator', reason: 'a large log'},
    priority: 50,
    effectiveAt: instantFromMs(atMs),
    expiresAt: null,
  }
  return write(`account-${userOf(user)}`, 'HoursGranted', data, user, atMs)
}

function lifeOf(index: number, beginMs: number): readonly AppendWrite[] {
  const startMs = Math.floor(beginMs / hourMs) * hourMs + Math.floor(index / 2) * hourMs
  const interval = {start: instantFromMs(startMs), end: instantFromMs(startMs + hourMs)}
  const bookingId = derivedUuid('booking', String(index))
  const userId = userOf(index)
  const poolId = pools[index % pools.length] ?? 'eu'
  const machineId = `${poolId}-1`
  const money = {amountMinor: 1000, currency: 'USD'}
  const policy = {warmUpMinutes: 5, turnaroundMinutes: 5, cancellationTiers: [{noticeMinutesMin: 60, chargePercent: 0}]}
  const price = {list: money, discountPercent: 0, total: money}
  const place = {serviceId: 'ENCH', realmId: poolId.toUpperCase(), poolId}
  const terms = {userId, ...place, interval, zone: null, minutes: 60, price, policy}
  const draws = [{grantId: derivedUuid('grant', String(index % users)), minutes: 60}]
  const slot = {bookingId, userId, machineId, serviceId: 'ENCH', interval, warmUpMinutes: 5, turnaroundMinutes: 5}
  const at = interval.start
  const account = `account-${userId}`
  const booking = `booking-${bookingId}`
  const next = (stream: string, type: string, data: unknown): AppendWrite => write(stream, type, data, index, startMs)
  return [
    next(account, 'HoursHeld', {bookingId, minutes: 60, draws, terms}),
    next(`calendar-${poolId}`, 'SlotAllocated', {...slot, at}),
    next(booking, 'BookingConfirmed', {bookingId, terms, machineId, at}),
    next(booking, 'BookingStarted', {bookingId, at}),
    next(booking, 'BookingEnded', {bookingId, at: interval.end, usedMinutes: 60, lostMinutes: 0}),
    next(account, 'HoursCaptured', {bookingId, minutes: 60, draws}),
  ]
}

function write(stream: string, type: string, data: unknown, index: number, atMs: number): AppendWrite {
  const id = Buffer.from(derivedUuid(stream, type, String(index)).replaceAll('-', ''), 'hex')
  const cause = derivedUuid('cause', stream, type, String(index))
  const actor = {type: 'process', name: 'fill'}
  const metadata = {$correlationId: cause, $causationId: cause, actor, at: instantFromMs(atMs), version: 1}
  const [bytes, meta] = [data, metadata].map(value => Buffer.from(JSON.stringify(value))) as [Buffer, Buffer]
  return {kind: 'append', stream, expected: 'any', events: [{id, type, isJson: true, data: bytes, metadata: meta}]}
}

const {values} = parseArgs({
  options: {events: {type: 'string', default: '1000000'}, starts: {type: 'string', default: '5'}},
})
const folder = await mkdtemp(join(tmpdir(), 'hourhand-large-'))
const clock = testClock()
const park = await startPark({nowMs: () => clock.nowMs(), bootMs: 100})
const node = await crashNode({name: 'one', clock, parkUrl: park.url, dataFolder: folder})
const fillBeganMs = performance.now()
fill(folder, Number(values.events))
console.log(`filled in ${Math.round(performance.now() - fillBeganMs)} ms`)
const report = (violation: string): void => console.log(`VIOLATION ${violation}`)
const client = createClient({nodes: [node], clock, chance: Math.random, report, answerMsMax: 60_000})
for (let start = 0; start <= Number(values.starts); start++) {
  const started = await node.start()
  if (!started.isReady) throw new Error(node.printed())
  const signal = AbortSignal.timeout(600_000)
  if (start === 0) await registerCustomers({client, clock, dice: {} as never, count: 1, report}, signal)
  const bookBeganMs = performance.now()
  const input = {
    serviceId: 'ENCH',
    realmId: 'EU',
    start: instantFromMs((Math.floor(clock.nowMs() / hourMs) + 24 + 3 * start) * hourMs),
    minutes: 60,
  }
  const userId = idOf<'User'>(ownerId)
  const gift = {userId, minutes: 600, reason: 'a gift'}
  await client.send({key: `gift-${start}-`, userId, mutation: 'grantHours', input: gift, fields: ''}, signal)
  const answer = await client.send({key: `book-${start}`, userId, mutation: 'book', input, fields: ''}, signal)
  const bookMs = Math.round(performance.now() - bookBeganMs)
  const how = start === 0 ? 'read models folded from nothing' : 'killed before, read models present'
  console.log(`${how}: ready after ${Math.round(started.readyMs)} ms, then ${answer?.__typename} after ${bookMs} ms`)
  await node.serving()?.stop('SIGKILL')
}
await node.close()
await park.close()
await rm(folder, {recursive: true, force: true})
