import {WrongExpectedRevision, type EventStore} from '../event-store/port.ts'
import type {IdSource} from '../kernel/ids.ts'
import {leaseStream} from './lease-events.ts'

/** Each event of a lease says all there is to know of it; some more tell a person what happened lately. */
const eventsMax = 100

/**
 * Lets the store forget old renewals, of which there are 12 million a year. Once for a store: who set another limit by
 * hand keeps it.
 * @throws StoreUnavailable, OutcomeUnknown; safe to repeat
 */
export async function limitLeaseHistory(store: EventStore, ids: IdSource): Promise<void> {
  const limit = {id: ids.uuid(), type: '$metadata', data: {$maxCount: eventsMax}, metadata: {}}
  try {
    await store.append(`$$${leaseStream}`, 'noStream', [limit])
  } catch (error) {
    if (!(error instanceof WrongExpectedRevision)) throw error
  }
}
