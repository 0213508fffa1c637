import {connectEventStore} from '../../src/event-store/esdb.ts'
import {startTestStore} from '../support/store.ts'
import {eventStoreContract} from './event-store-contract.ts'

eventStoreContract('embedded node', () => startTestStore())

/** Any EventStoreDB or KurrentDB, e.g. `esdb://admin:changeit@localhost:2113?tls=false`. Its other streams stay as they are. */
const serverUrl = process.env['HOURHAND_TEST_EVENTSTORE_URL']
if (serverUrl !== undefined) {
  eventStoreContract('server of HOURHAND_TEST_EVENTSTORE_URL', async () => {
    const store = connectEventStore(serverUrl)
    return {store, stop: () => store.close()}
  })
}
