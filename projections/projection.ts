import type {DatabaseSync} from 'node:sqlite'
import type {AccountEvent} from '../src/account/events.ts'
import type {KeyEvent, UserEvent} from '../src/access/events.ts'
import type {BookingEvent} from '../src/booking/events.ts'
import type {CalendarEvent} from '../src/calendar/events.ts'
import type {CatalogueEvent} from '../src/catalogue/events.ts'
import type {MachineEvent} from '../src/fleet/events.ts'
import type {StoredEvent} from '../src/kernel/messages.ts'
import type {PurchaseEvent} from '../src/shop/events.ts'

/** Every fact a projection can meet. */
export type DomainEvent =
  AccountEvent | BookingEvent | CalendarEvent | CatalogueEvent | KeyEvent | MachineEvent | PurchaseEvent | UserEvent

/**
 * One read model: tables that are a pure function of the log. A new `version` throws the rows away and folds them
 * again from the first event. `apply` runs inside a transaction that also moves the checkpoint.
 */
export interface Projection {
  readonly name: string
  readonly version: number
  /** Names of the tables, for dropping them and for comparing a rebuild row by row. */
  readonly tables: readonly string[]
  /** `CREATE TABLE …` and indexes; every table has a primary key that follows from the events alone. */
  readonly ddl: string
  open(db: DatabaseSync): (stored: StoredEvent<DomainEvent>) => void
}
