import type {DatabaseSync} from 'node:sqlite'
import type {BookingEvent} from '../src/booking/events.ts'
import type {Projection} from './projection.ts'

/** Bookings, for their customers and for operators. */
export const agenda: Projection = {
  name: 'agenda',
  version: 1,
  tables: ['bookings'],
  ddl: `
    CREATE TABLE bookings (
      booking_id TEXT PRIMARY KEY,
      user_id TEXT NOT NULL,
      service_id TEXT NOT NULL,
      realm_id TEXT NOT NULL,
      pool_id TEXT NOT NULL,
      machine_id TEXT NOT NULL,
      starts_at TEXT NOT NULL,
      ends_at TEXT NOT NULL,
      zone TEXT,
      minutes INTEGER NOT NULL,
      terms TEXT NOT NULL,
      status TEXT NOT NULL,
      confirmed_at TEXT NOT NULL,
      started_at TEXT,
      interrupted_at TEXT,
      over_at TEXT,
      reason TEXT,
      used_minutes INTEGER,
      lost_minutes INTEGER
    ) STRICT;
    CREATE INDEX bookings_by_user ON bookings (user_id, starts_at, booking_id);
    CREATE INDEX bookings_by_start ON bookings (starts_at, booking_id);
    CREATE INDEX bookings_by_machine ON bookings (machine_id, starts_at);
  `,
  open(db) {
    const confirm = db.prepare(`
      INSERT INTO bookings (booking_id, user_id, service_id, realm_id, pool_id, machine_id, starts_at, ends_at, zone,
        minutes, terms, status, confirmed_at)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'confirmed', ?)`)
    const start = db.prepare(`UPDATE bookings SET status = 'started', started_at = ? WHERE booking_id = ?`)
    const interrupt = db.prepare(`UPDATE bookings SET interrupted_at = ? WHERE booking_id = ?`)
    const move = db.prepare(`UPDATE bookings SET machine_id = ? WHERE booking_id = ?`)
    const end = db.prepare(`
      UPDATE bookings SET status = ?, over_at = ?, reason = ?, used_minutes = ?, lost_minutes = ? WHERE booking_id = ?`)
    return ({event}) => {
      switch (event.type) {
        case 'BookingConfirmed': {
          const {bookingId, terms, machineId, at} = event.data
          const {userId, serviceId, realmId, poolId, interval, zone, minutes} = terms
          const place = [bookingId, userId, serviceId, realmId, poolId, machineId]
          confirm.run(...place, interval.start, interval.end, zone, minutes, JSON.stringify(terms), at)
          return
        }
        case 'BookingStarted':
          start.run(event.data.at, event.data.bookingId)
          return
        case 'BookingInterrupted':
          interrupt.run(event.data.at, event.data.bookingId)
          return
        case 'BookingResumed':
          interrupt.run(null, event.data.bookingId)
          return
        case 'BookingFailedOver':
          move.run(event.data.toMachineId, event.data.bookingId)
          return
        case 'BookingEnded':
        case 'BookingCancelled':
        case 'BookingFailed': {
          const {bookingId, at, usedMinutes, lostMinutes} = event.data
          const reason = event.type === 'BookingFailed' ? event.data.reason : null
          end.run(endStatus[event.type], at, reason, usedMinutes, lostMinutes, bookingId)
          return
        }
        default:
      }
    }
  },
}

const endStatus = {
  BookingEnded: 'ended',
  BookingCancelled: 'cancelled',
  BookingFailed: 'failed',
} as const satisfies Partial<Record<BookingEvent['type'], string>>

export type BookingRowStatus = 'confirmed' | 'started' | 'ended' | 'cancelled' | 'failed'

export interface BookingRow {
  readonly booking_id: string
  readonly user_id: string
  readonly service_id: string
  readonly realm_id: string
  readonly pool_id: string
  readonly machine_id: string
  readonly starts_at: string
  readonly ends_at: string
  readonly zone: string | null
  readonly minutes: number
  /** The agreed terms as JSON. */
  readonly terms: string
  readonly status: BookingRowStatus
  readonly confirmed_at: string
  readonly started_at: string | null
  readonly interrupted_at: string | null
  readonly over_at: string | null
  readonly reason: string | null
  readonly used_minutes: number | null
  readonly lost_minutes: number | null
}

/** Where a page begins or ends: the sort key of a row. */
export interface AgendaCursor {
  readonly startsAt: string
  readonly bookingId: string
}

export interface AgendaQuery {
  /** Null: everybody's. */
  readonly userId: string | null
  readonly machineId: string | null
  readonly status: BookingRowStatus | null
  readonly after: AgendaCursor | null
  readonly before: AgendaCursor | null
  /** Latest start first. */
  readonly descending: boolean
  readonly limit: number
}

export interface AgendaQueries {
  booking(bookingId: string): BookingRow | null
  /** Ordered by start, then id; one row more than `limit` tells that there are more. */
  bookings(query: AgendaQuery): readonly BookingRow[]
}

export function agendaQueries(db: DatabaseSync): AgendaQueries {
  const one = db.prepare('SELECT * FROM bookings WHERE booking_id = ?')
  return {
    booking: bookingId => (one.get(bookingId) as unknown as BookingRow | undefined) ?? null,
    bookings({userId, machineId, status, after, before, descending, limit}) {
      const order = descending ? 'DESC' : 'ASC'
      const [later, earlier] = descending ? ['<', '>'] : ['>', '<']
      const conditions: string[] = []
      const values: (string | number)[] = []
      const where = (condition: string, ...parts: string[]): void => {
        conditions.push(condition)
        values.push(...parts)
      }
      if (userId !== null) where('user_id = ?', userId)
      if (machineId !== null) where('machine_id = ?', machineId)
      if (status !== null) where('status = ?', status)
      if (after !== null) where(`(starts_at, booking_id) ${later} (?, ?)`, after.startsAt, after.bookingId)
      if (before !== null) where(`(starts_at, booking_id) ${earlier} (?, ?)`, before.startsAt, before.bookingId)
      const filter = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
      const sql = `SELECT * FROM bookings ${filter} ORDER BY starts_at ${order}, booking_id ${order} LIMIT ? + 0`
      return db.prepare(sql).all(...values, limit) as unknown as BookingRow[]
    },
  }
}
