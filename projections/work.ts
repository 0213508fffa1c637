import type {DatabaseSync} from 'node:sqlite'
import type {BookingTerms} from '../src/kernel/terms.ts'
import type {Projection} from './projection.ts'

/**
 * What the processes still have to do: bookings that are not settled, purchases that are not fulfilled, and machines.
 * A row goes when nothing more is to be done about it, so the tables stay as small as the work is.
 */
export const work: Projection = {
  name: 'work',
  version: 5,
  tables: ['work_bookings', 'work_terms', 'work_purchases', 'work_machines'],
  ddl: `
    CREATE TABLE work_bookings (
      booking_id TEXT PRIMARY KEY,
      starts_at TEXT NOT NULL,
      ends_at TEXT NOT NULL,
      held_at TEXT NOT NULL,
      held_minutes INTEGER NOT NULL,
      stage TEXT NOT NULL DEFAULT 'held',
      machine_id TEXT,
      moving INTEGER NOT NULL DEFAULT 0,
      slot_held INTEGER NOT NULL DEFAULT 0,
      down INTEGER NOT NULL DEFAULT 1,
      over_because TEXT,
      over_at TEXT,
      used_minutes INTEGER,
      lost_minutes INTEGER
    ) STRICT;
    CREATE INDEX work_bookings_by_machine ON work_bookings (machine_id, starts_at);
    CREATE TABLE work_terms (
      booking_id TEXT PRIMARY KEY,
      terms TEXT NOT NULL
    ) STRICT;
    CREATE TABLE work_purchases (
      purchase_id TEXT PRIMARY KEY,
      user_id TEXT NOT NULL,
      minutes INTEGER NOT NULL,
      paid INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE work_machines (
      machine_id TEXT PRIMARY KEY,
      pool_id TEXT NOT NULL,
      services TEXT NOT NULL,
      driver_kind TEXT NOT NULL,
      driver_config TEXT NOT NULL,
      offered INTEGER NOT NULL DEFAULT 0,
      seen TEXT,
      changed_at TEXT NOT NULL,
      ready_since TEXT,
      quarantined INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
  `,
  open(db) {
    const bookingsOf = bookingWork(db)
    const purchasesOf = purchaseWork(db)
    const machinesOf = machineWork(db)
    return stored => {
      bookingsOf(stored)
      purchasesOf(stored)
      machinesOf(stored)
    }
  },
}

type Apply = ReturnType<Projection['open']>

function bookingWork(db: DatabaseSync): Apply {
  const hold = db.prepare(`
    INSERT INTO work_bookings (booking_id, starts_at, ends_at, held_at, held_minutes) VALUES (?, ?, ?, ?, ?)`)
  // Apart, because the other row changes with every step.
  const keepTerms = db.prepare('INSERT INTO work_terms VALUES (?, ?)')
  const forgetTerms = db.prepare('DELETE FROM work_terms WHERE booking_id = ?')
  const allocate = db.prepare('UPDATE work_bookings SET slot_held = 1, machine_id = ? WHERE booking_id = ?')
  const advance = db.prepare('UPDATE work_bookings SET stage = ?, down = ? WHERE booking_id = ?')
  const setDown = db.prepare('UPDATE work_bookings SET down = ? WHERE booking_id = ?')
  const leave = db.prepare('UPDATE work_bookings SET moving = 1 WHERE booking_id = ?')
  const move = db.prepare('UPDATE work_bookings SET machine_id = ?, moving = 0 WHERE booking_id = ?')
  // Once the interval is over, there is nothing left of the slot to give back.
  const conclude = db.prepare(`
    UPDATE work_bookings SET stage = 'over', over_because = ?1, over_at = ?2, used_minutes = ?3, lost_minutes = ?4,
      slot_held = CASE WHEN ?2 < ends_at THEN slot_held ELSE 0 END
    WHERE booking_id = ?5`)
  const freeSlot = db.prepare('UPDATE work_bookings SET slot_held = 0 WHERE booking_id = ?')
  const settle = db.prepare('UPDATE work_bookings SET held_minutes = held_minutes - ? WHERE booking_id = ?')
  const dropDone = db.prepare(`
    DELETE FROM work_bookings
    WHERE booking_id = ? AND held_minutes = 0 AND (stage = 'held' OR (stage = 'over' AND slot_held = 0))`)
  const forgetDone = (bookingId: string): void => {
    if (dropDone.run(bookingId).changes > 0) forgetTerms.run(bookingId)
  }

  return ({event, metadata}) => {
    switch (event.type) {
      case 'HoursHeld': {
        const {bookingId, terms, minutes} = event.data
        const {start, end} = terms.interval
        hold.run(bookingId, start, end, metadata.at, minutes)
        keepTerms.run(bookingId, JSON.stringify(terms))
        return
      }
      case 'SlotAllocated':
        allocate.run(event.data.machineId, event.data.bookingId)
        return
      case 'BookingConfirmed':
        advance.run('confirmed', 1, event.data.bookingId)
        return
      case 'BookingStarted':
        advance.run('started', 0, event.data.bookingId)
        return
      case 'BookingInterrupted':
        setDown.run(1, event.data.bookingId)
        return
      case 'BookingResumed':
        setDown.run(0, event.data.bookingId)
        return
      case 'AllocationFailedOver':
        leave.run(event.data.bookingId)
        return
      case 'BookingFailedOver':
        move.run(event.data.toMachineId, event.data.bookingId)
        return
      case 'BookingEnded':
      case 'BookingCancelled':
      case 'BookingFailed': {
        const {bookingId, at, usedMinutes, lostMinutes} = event.data
        conclude.run(becauseOf[event.type], at, usedMinutes, lostMinutes, bookingId)
        forgetDone(bookingId)
        return
      }
      case 'AllocationShortened':
        freeSlot.run(event.data.bookingId)
        forgetDone(event.data.bookingId)
        return
      case 'HoursCaptured':
      case 'HoursReleased':
      case 'HoursCompensated':
        settle.run(event.data.minutes, event.data.bookingId)
        forgetDone(event.data.bookingId)
        return
      default:
    }
  }
}

const becauseOf = {BookingEnded: 'ended', BookingCancelled: 'cancelled', BookingFailed: 'failed'} as const

function purchaseWork(db: DatabaseSync): Apply {
  const pay = db.prepare('UPDATE work_purchases SET paid = 1 WHERE purchase_id = ?')
  const open = db.prepare('INSERT INTO work_purchases (purchase_id, user_id, minutes) VALUES (?, ?, ?)')
  const forget = db.prepare('DELETE FROM work_purchases WHERE purchase_id = ?')
  return ({event}) => {
    switch (event.type) {
      case 'CheckoutStarted':
        open.run(event.data.purchaseId, event.data.userId, event.data.minutes)
        return
      case 'PaymentReceived':
        pay.run(event.data.purchaseId)
        return
      case 'PurchaseFulfilled':
        forget.run(event.data.purchaseId)
        return
      default:
    }
  }
}

function machineWork(db: DatabaseSync): Apply {
  const register = db.prepare(`
    INSERT INTO work_machines (machine_id, pool_id, services, driver_kind, driver_config, changed_at)
    VALUES (?, ?, ?, ?, ?, ?)`)
  const offer = db.prepare('UPDATE work_machines SET offered = ? WHERE machine_id = ?')
  const see = db.prepare('UPDATE work_machines SET seen = ?, changed_at = ? WHERE machine_id = ?')
  const ready = db.prepare('UPDATE work_machines SET ready_since = ?1, changed_at = ?2 WHERE machine_id = ?3')
  const switched = db.prepare(`
    UPDATE work_machines SET ready_since = NULL, changed_at = ?1 WHERE machine_id = ?2 AND ready_since IS NOT NULL`)
  const quarantine = db.prepare('UPDATE work_machines SET quarantined = ? WHERE machine_id = ?')
  return ({event}) => {
    switch (event.type) {
      case 'MachineRegistered': {
        const {machineId, poolId, services, driver, at} = event.data
        register.run(machineId, poolId, JSON.stringify(services), driver.kind, JSON.stringify(driver.config), at)
        return
      }
      case 'MachineOffered':
        offer.run(1, event.data.machineId)
        return
      case 'MachineWithdrawn':
        offer.run(0, event.data.machineId)
        return
      case 'PowerCommandIntended': {
        const {machineId, dueAt, at} = event.data
        // Until its moment a planned command changes nothing; that it has come is known by what came of it.
        if (dueAt <= at) switched.run(at, machineId)
        return
      }
      case 'PowerCommandAccepted':
      case 'PowerCommandFailed':
        switched.run(event.data.at, event.data.machineId)
        return
      case 'PowerObserved': {
        const {machineId, power, reason, at} = event.data
        see.run(power, at, machineId)
        if (power === 'off' || (power === 'on' && reason !== null)) ready.run(null, at, machineId)
        return
      }
      case 'MachineReady':
        ready.run(event.data.at, event.data.at, event.data.machineId)
        return
      case 'MachineQuarantined':
        quarantine.run(1, event.data.machineId)
        return
      case 'QuarantineLifted':
        quarantine.run(0, event.data.machineId)
        ready.run(null, event.data.at, event.data.machineId)
        return
      default:
    }
  }
}

export interface BookingWorkRow {
  readonly bookingId: string
  readonly terms: BookingTerms
  readonly heldAt: string
  readonly heldMinutes: number
  readonly stage: 'held' | 'confirmed' | 'started' | 'over'
  readonly machineId: string | null
  /** The calendar has given it another machine; the booking does not know yet. */
  readonly moving: boolean
  readonly slotHeld: boolean
  readonly down: boolean
  readonly outcome: {
    readonly because: 'ended' | 'cancelled' | 'failed'
    readonly at: string
    readonly usedMinutes: number
    readonly lostMinutes: number
  } | null
}

export interface PurchaseWorkRow {
  readonly purchaseId: string
  readonly userId: string
  readonly minutes: number
  readonly paid: boolean
}

export interface MachineWorkRow {
  readonly machineId: string
  readonly poolId: string
  readonly services: readonly string[]
  readonly driver: {readonly kind: string; readonly config: Readonly<Record<string, unknown>>}
  readonly offered: boolean
  readonly seen: 'off' | 'on' | 'unreachable' | null
  /** When power or readiness last changed. */
  readonly changedAt: string
  readonly readySince: string | null
  readonly quarantined: boolean
}

export interface WorkQueries {
  booking(bookingId: string): BookingWorkRow | null
  /** Bookings on a machine that are confirmed or started and stay there, by start, at most `limit`. */
  bookingsOn(machineId: string, limit: number): readonly BookingWorkRow[]
  /** Their ids alone. */
  bookingIdsOn(machineId: string, limit: number): readonly string[]
  bookingIds(): readonly string[]
  purchase(purchaseId: string): PurchaseWorkRow | null
  paidPurchaseIds(): readonly string[]
  machine(machineId: string): MachineWorkRow | null
  machineIds(): readonly string[]
}

export function workQueries(db: DatabaseSync): WorkQueries {
  const booking = db.prepare('SELECT * FROM work_bookings NATURAL JOIN work_terms WHERE booking_id = ?')
  // `+ 0`, or SQLite would plan the statement anew each time, to look at the bound number.
  const bookingsOn = db.prepare(`
    SELECT * FROM work_bookings NATURAL JOIN work_terms
    WHERE machine_id = ? AND moving = 0 AND stage IN ('confirmed', 'started') ORDER BY starts_at LIMIT ? + 0`)
  const bookingIdsOn = db.prepare(`
    SELECT booking_id FROM work_bookings
    WHERE machine_id = ? AND moving = 0 AND stage IN ('confirmed', 'started') ORDER BY starts_at LIMIT ? + 0`)
  const bookingIds = db.prepare('SELECT booking_id FROM work_bookings')
  const purchase = db.prepare('SELECT * FROM work_purchases WHERE purchase_id = ?')
  const paid = db.prepare('SELECT purchase_id FROM work_purchases WHERE paid = 1')
  const machine = db.prepare('SELECT * FROM work_machines WHERE machine_id = ?')
  const machineIds = db.prepare('SELECT machine_id FROM work_machines')
  return {
    booking: bookingId => optional(booking.get(bookingId), toBooking),
    bookingsOn: (machineId, limit) => bookingsOn.all(machineId, limit).map(toBooking),
    bookingIdsOn: (machineId, limit) => bookingIdsOn.all(machineId, limit).map(row => String(row['booking_id'])),
    bookingIds: () => bookingIds.all().map(row => String(row['booking_id'])),
    purchase: purchaseId => optional(purchase.get(purchaseId), toPurchase),
    paidPurchaseIds: () => paid.all().map(row => String(row['purchase_id'])),
    machine: machineId => optional(machine.get(machineId), toMachine),
    machineIds: () => machineIds.all().map(row => String(row['machine_id'])),
  }
}

type Row = Record<string, unknown>

function optional<Value>(row: Row | undefined, convert: (row: Row) => Value): Value | null {
  return row === undefined ? null : convert(row)
}

function toBooking(row: Row): BookingWorkRow {
  const outcome = {
    because: row['over_because'] as 'ended' | 'cancelled' | 'failed',
    at: String(row['over_at']),
    usedMinutes: Number(row['used_minutes']),
    lostMinutes: Number(row['lost_minutes']),
  }
  return {
    bookingId: String(row['booking_id']),
    terms: JSON.parse(String(row['terms'])) as BookingTerms,
    heldAt: String(row['held_at']),
    heldMinutes: Number(row['held_minutes']),
    stage: row['stage'] as BookingWorkRow['stage'],
    machineId: textOrNull(row['machine_id']),
    moving: row['moving'] === 1,
    slotHeld: row['slot_held'] === 1,
    down: row['down'] === 1,
    outcome: row['over_because'] === null ? null : outcome,
  }
}

function toPurchase(row: Row): PurchaseWorkRow {
  const {purchase_id: purchaseId, user_id: userId, minutes, paid} = row
  return {purchaseId: String(purchaseId), userId: String(userId), minutes: Number(minutes), paid: paid === 1}
}

function toMachine(row: Row): MachineWorkRow {
  return {
    machineId: String(row['machine_id']),
    poolId: String(row['pool_id']),
    services: JSON.parse(String(row['services'])) as string[],
    driver: {
      kind: String(row['driver_kind']),
      config: JSON.parse(String(row['driver_config'])) as Record<string, unknown>,
    },
    offered: row['offered'] === 1,
    seen: row['seen'] as MachineWorkRow['seen'],
    changedAt: String(row['changed_at']),
    readySince: textOrNull(row['ready_since']),
    quarantined: row['quarantined'] === 1,
  }
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}
