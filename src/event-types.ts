import {keyEvents, userEvents} from './access/events.ts'
import {accountEvents} from './account/events.ts'
import {bookingEvents} from './booking/events.ts'
import {calendarEvents} from './calendar/events.ts'
import {catalogueEvents} from './catalogue/events.ts'
import {machineEvents} from './fleet/events.ts'
import type {EventDeclarations} from './kernel/messages.ts'
import {leaseEvents} from './processes/lease-events.ts'
import {purchaseEvents} from './shop/events.ts'

/** Every event type that is ever stored. */
export const allEventTypes: readonly EventDeclarations[] = [
  accountEvents,
  bookingEvents,
  calendarEvents,
  catalogueEvents,
  keyEvents,
  leaseEvents,
  machineEvents,
  purchaseEvents,
  userEvents,
]
