import {randomUUID} from 'node:crypto'
import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {accountStream} from '../../src/account/events.ts'
import {bookingStream} from '../../src/booking/events.ts'
import {calendarStream} from '../../src/calendar/events.ts'
import {startEmbeddedNode} from '../../src/embedded-node/node.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import type {EventStore, NewEvent} from '../../src/event-store/port.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {instantFromMs} from '../../src/kernel/time.ts'
import {startBenchEngine} from './engine.ts'
import {pool, realm, service, users, wishOf} from './work.ts'

/** The appends of bookings without an engine: what is left when deciding and folding cost nothing. */
export interface BareAppends {
  book(index: number): Promise<boolean>
  stop(): Promise<void>
}

export async function startBareAppends(): Promise<BareAppends> {
  const [held, allocated, confirmed] = await eventsOfOneBooking()
  const folder = mkdtempSync(join(tmpdir(), 'hourhand-bench-'))
  const node = await startEmbeddedNode({dataDir: folder, host: '127.0.0.1'})
  const store = connectEventStore(node.connectionString)
  const ending = new AbortController()
  const reading = readAll(store, ending.signal)
  const calendar = batched(store, 'calendar-eu')
  return {
    async book(index) {
      const account = `account-${users[index % users.length]}`
      await store.append(account, 'any', [{...held, id: randomUUID()}])
      await calendar({...allocated, id: randomUUID()})
      await store.append(`booking-${index}`, 'noStream', [{...confirmed, id: randomUUID()}])
      return true
    },
    async stop() {
      ending.abort()
      await reading
      await store.close()
      await node.close()
      rmSync(folder, {recursive: true, force: true})
    },
  }
}

/** As a lane does it: what came while an append was under way goes in one append next. */
function batched(store: EventStore, stream: string): (event: NewEvent) => Promise<void> {
  let waiting: NewEvent[] = []
  let last: Promise<unknown> = Promise.resolve()
  let next: Promise<unknown> | null = null
  return async event => {
    waiting.push(event)
    next ??= last.then(() => {
      const events = waiting
      waiting = []
      next = null
      last = store.append(stream, 'any', events)
      return last
    })
    await next
  }
}

async function readAll(store: EventStore, signal: AbortSignal): Promise<number> {
  let count = 0
  for await (const message of store.subscribeToAll({signal})) if (message.type === 'event') count++
  return count
}

/** As the engine writes them, so that sizes and shapes are those of earnest. */
async function eventsOfOneBooking(): Promise<readonly [NewEvent, NewEvent, NewEvent]> {
  const node = await startBenchEngine()
  const store = connectEventStore(node.connectionString)
  const {userId, startMs} = wishOf(0, Math.ceil(Date.now() / 3_600_000 + 1) * 3_600_000)
  const caller = {userId: idOf<'User'>(userId), roles: ['customer'], requestId: 'request-0'} as const
  const place = {serviceId: idOf<'Service'>(service), realmId: idOf<'Realm'>(realm)}
  const request = {idempotencyKey: 'one', ...place, start: instantFromMs(startMs), minutes: 60, zone: null}
  const answer = await node.engine.bookings.book(caller, request)
  if (!answer.ok) throw new Error(`refused: ${answer.refusal.type}`)
  const lastOf = async (stream: string): Promise<NewEvent> => {
    const [last] = (await store.readStream(stream, {direction: 'backwards', maxCount: 1})) ?? []
    if (last === undefined) throw new Error(`nothing in ${stream}`)
    return {id: last.id, type: last.type, data: last.data, metadata: last.metadata as NewEvent['metadata']}
  }
  const streams = [
    accountStream(caller.userId),
    calendarStream(idOf(pool)),
    bookingStream(answer.value.bookingId),
  ] as const
  const events = [await lastOf(streams[0]), await lastOf(streams[1]), await lastOf(streams[2])] as const
  await store.close()
  await node.stop()
  return events
}
