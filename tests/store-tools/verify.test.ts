import {join} from 'node:path'
import {DatabaseSync} from 'node:sqlite'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'

import {startEmbeddedNode} from '../../src/embedded-node/node.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {newKey, registerUser, signInOwner} from '../journeys/api.ts'
import {programHome, type ProgramHome, type RunningProgram} from '../support/program.ts'
import {runTool, toolPaths} from './run-tool.ts'

let home: ProgramHome
let program: RunningProgram
const verify = (...args: readonly string[]) => runTool(toolPaths.verify, ['--data', home.dataFolder, ...args])

/** The log of the stopped program, for as long as it takes. */
async function withStore<Value>(work: (store: EventStore) => Promise<Value>): Promise<Value> {
  const node = await startEmbeddedNode({dataDir: join(home.dataFolder, 'events'), host: '127.0.0.1'})
  const store = connectEventStore(node.connectionString)
  try {
    return await work(store)
  } finally {
    await store.close()
    await node.close()
  }
}

describe('of the data folder of a program in which people booked and cancelled', () => {
  beforeAll(async () => {
    home = await programHome()
    program = await home.start()
    const owner = await signInOwner(program)
    const customer = await registerUser(program, owner, 'Ann')
    await owner.change('grantHours', {userId: customer.userId ?? '', minutes: 600, reason: 'a gift'})
    for (let day = 1; day <= 3; day++) {
      const start = new Date((Math.floor(Date.now() / 3_600_000) + 24 * day) * 3_600_000).toISOString()
      const wish = {serviceId: 'ENCH', realmId: 'EU', start, minutes: 60, idempotencyKey: newKey()}
      const booked = await customer.change<{booking: {id: string}}>(
        'book',
        wish,
        '... on BookSuccess { booking { id } }',
      )
      if (day > 1) await customer.change('cancelBooking', {bookingId: booked.booking.id})
    }
  })
  afterAll(() => home.close())

  test('nothing is said while the program works there but that it has to be stopped', async () => {
    expect(await verify()).toMatchObject({status: 1, output: expect.stringMatching(/works in .* Stop it first\./)})
  })

  test('no violation is found, in the log and in the read models', async () => {
    await program.stop()
    const {status, output} = await verify()
    expect(output).toMatch(/^\d+ events in \d+ streams, 8 read models compared: 0 violations\.$/m)
    expect(status).toBe(0)
  })

  test('a row of the read models that does not follow from the log is found, and what is in it is not told', async () => {
    const db = new DatabaseSync(join(home.dataFolder, 'read-models.sqlite'))
    db.exec('UPDATE grants SET available = available + 1')
    db.close()
    const {status, output} = await verify()
    expect(output).toMatch(/VIOLATION read model balances, table grants: 1 rows are missing or other, 1 are too many/)
    expect(status).toBe(1)
  })

  test('an allocation that nobody may have made is found, with its stream and its position', async () => {
    const position = await withStore(async store => {
      const calendar = await store.readStream('calendar-eu', {maxCount: 1000})
      const taken = calendar?.find(({type}) => type === 'SlotAllocated')
      const data = {...(taken?.data as object), bookingId: 'another', userId: 'somebody'}
      const event = {id: crypto.randomUUID(), type: 'SlotAllocated', data, metadata: taken?.metadata as object}
      return (await store.append('calendar-eu', 'any', [event as never])).position.commit
    })
    const {status, output} = await verify()
    expect(output).toMatch(
      new RegExp(`VIOLATION calendar-eu, revision \\d+, position ${position}: slots of .* overlap`),
    )
    expect(status).toBe(1)
  })
})

test('a folder without a log is named', async () => {
  const empty = await programHome()
  expect(await runTool(toolPaths.verify, ['--data', empty.dataFolder])).toMatchObject({status: 1})
  await empty.close()
})
