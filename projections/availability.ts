import type {DatabaseSync} from 'node:sqlite'
import type {BookingId, MachineId, PoolId, ServiceId, UserId} from '../src/kernel/ids.ts'
import {msOf} from '../src/kernel/time.ts'
import type {Projection} from './projection.ts'

/** What every machine of every pool is taken for; slots are computed from it and never stored. */
export const availability: Projection = {
  name: 'availability',
  version: 2,
  tables: ['offers', 'allocations'],
  ddl: `
    CREATE TABLE offers (
      machine_id TEXT PRIMARY KEY,
      pool_id TEXT NOT NULL,
      services TEXT NOT NULL,
      offered INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE allocations (
      booking_id TEXT PRIMARY KEY,
      machine_id TEXT NOT NULL,
      pool_id TEXT NOT NULL,
      user_id TEXT NOT NULL,
      service_id TEXT NOT NULL,
      start_ms INTEGER NOT NULL,
      end_ms INTEGER NOT NULL,
      warm_up_ms INTEGER NOT NULL,
      turnaround_ms INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX allocations_by_pool ON allocations (pool_id, start_ms);
  `,
  open(db) {
    const offer = db.prepare(`
      INSERT INTO offers (machine_id, pool_id, services, offered) VALUES (?, ?, ?, 1)
      ON CONFLICT (machine_id) DO UPDATE SET services = excluded.services, offered = 1`)
    const withdraw = db.prepare('UPDATE offers SET offered = 0 WHERE machine_id = ?')
    // A calendar forgets what is long over: a booking that is finished late may be allocated a second time.
    const allocate = db.prepare('INSERT OR REPLACE INTO allocations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)')
    const shorten = db.prepare('UPDATE allocations SET end_ms = ? WHERE booking_id = ?')
    const free = db.prepare('DELETE FROM allocations WHERE booking_id = ? AND start_ms >= ?')
    // The new machine is taken from the moment it takes over, without a warm-up that lies in the past.
    const move = db.prepare(`
      UPDATE allocations SET machine_id = ?1, start_ms = max(start_ms, ?2),
        warm_up_ms = max(start_ms, ?2) - max(start_ms - warm_up_ms, ?2)
      WHERE booking_id = ?3`)
    return ({event, stream}) => {
      switch (event.type) {
        case 'MachineOffered':
          offer.run(event.data.machineId, poolOf(stream), JSON.stringify(event.data.services))
          return
        case 'MachineWithdrawn':
          withdraw.run(event.data.machineId)
          return
        case 'SlotAllocated': {
          const {bookingId, machineId, userId, serviceId, interval, warmUpMinutes, turnaroundMinutes} = event.data
          const times = [msOf(interval.start), msOf(interval.end), warmUpMinutes * 60_000, turnaroundMinutes * 60_000]
          allocate.run(bookingId, machineId, poolOf(stream), userId, serviceId, ...times)
          return
        }
        case 'AllocationShortened': {
          const endMs = msOf(event.data.end)
          shorten.run(endMs, event.data.bookingId)
          free.run(event.data.bookingId, endMs)
          return
        }
        case 'AllocationFailedOver':
          move.run(event.data.toMachineId, msOf(event.data.at), event.data.bookingId)
          return
        default:
      }
    }
  },
}

function poolOf(calendarStream: string): string {
  return calendarStream.slice(calendarStream.indexOf('-') + 1)
}

export interface OfferRow {
  readonly machineId: MachineId
  readonly services: readonly ServiceId[]
}

export interface AllocationRow {
  readonly bookingId: BookingId
  readonly machineId: MachineId
  readonly userId: UserId
  readonly serviceId: ServiceId
  readonly startMs: number
  readonly endMs: number
  readonly warmUpMs: number
  readonly turnaroundMs: number
}

export interface AvailabilityQueries {
  /** The offered machines of a pool, and their allocations that end after `fromMs` and start before `toMs`. */
  poolAgenda(
    poolId: PoolId,
    fromMs: number,
    toMs: number,
  ): {readonly offers: readonly OfferRow[]; readonly allocations: readonly AllocationRow[]}
}

/** No booking lasts longer; bounds how far back an allocation that is still running can have begun. */
const lookBackMs = 31 * 86_400_000

export function availabilityQueries(db: DatabaseSync): AvailabilityQueries {
  const offers = db.prepare('SELECT machine_id, services FROM offers WHERE pool_id = ? AND offered = 1')
  const allocations = db.prepare(`
    SELECT * FROM allocations WHERE pool_id = ? AND start_ms > ? AND start_ms < ? AND end_ms > ? ORDER BY start_ms`)
  return {
    poolAgenda(poolId, fromMs, toMs) {
      const rows = allocations.all(poolId, fromMs - lookBackMs, toMs, fromMs)
      return {offers: offers.all(poolId).map(toOffer), allocations: rows.map(toAllocation)}
    },
  }
}

type Row = Record<string, unknown>

// Rows hold ids as the events had them, which the registry has checked.
function toOffer(row: Row): OfferRow {
  return {machineId: row['machine_id'] as MachineId, services: JSON.parse(String(row['services'])) as ServiceId[]}
}

function toAllocation(row: Row): AllocationRow {
  return {
    bookingId: row['booking_id'] as BookingId,
    machineId: row['machine_id'] as MachineId,
    userId: row['user_id'] as UserId,
    serviceId: row['service_id'] as ServiceId,
    startMs: Number(row['start_ms']),
    endMs: Number(row['end_ms']),
    warmUpMs: Number(row['warm_up_ms']),
    turnaroundMs: Number(row['turnaround_ms']),
  }
}
