import {startTestStore} from '../support/store.ts'
import {persistentContract} from './persistent-contract.ts'

persistentContract('embedded node', async () => {
  const {node, stop} = await startTestStore()
  return {connectionString: node.connectionString, stop}
})

const serverUrl = process.env['HOURHAND_TEST_EVENTSTORE_URL']
if (serverUrl !== undefined) {
  const stop = (): Promise<void> => Promise.resolve()
  persistentContract('server of HOURHAND_TEST_EVENTSTORE_URL', () =>
    Promise.resolve({connectionString: serverUrl, stop}),
  )
}
