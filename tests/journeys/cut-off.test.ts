import {afterEach, beforeEach, describe, expect, test} from 'vitest'
import {programHome, type ProgramHome, type RunningProgram} from '../support/program.ts'
import {again, newKey, registerUser, signInOwner, type Api} from './api.ts'

/* The program ends in the middle of many commands: what it acknowledged is there, and nothing is there twice. */

let home: ProgramHome
beforeEach(async () => {
  home = await programHome()
})
afterEach(() => home.close())

const commandCount = 200
const answersBeforeTheEnd = 20

/** Sends all, ends the program once some are answered, and tells how many were acknowledged. */
async function cutOff(
  program: RunningProgram,
  name: 'SIGTERM' | 'SIGKILL',
  send: (index: number) => Promise<boolean>,
): Promise<number> {
  let acknowledged = 0
  const enough = Promise.withResolvers<void>()
  const sent = Array.from({length: commandCount}, async (_, index) => {
    // Also a refused or broken connection is no acknowledgement, and the only one that says nothing.
    if (!(await send(index).catch(() => false))) return
    acknowledged += 1
    if (acknowledged === answersBeforeTheEnd) enough.resolve()
  })
  await enough.promise
  await program.stop(name)
  await Promise.all(sent)
  return acknowledged
}

async function heldAndAvailable(customer: Api) {
  type Answer = {readonly viewer: {readonly balance: {readonly availableMinutes: number; readonly heldMinutes: number}}}
  const {viewer} = await customer.ask<Answer>('{ viewer { balance { availableMinutes heldMinutes } } }')
  return viewer.balance
}

describe.each(['SIGTERM', 'SIGKILL'] as const)('%s in the middle of 200 commands', name => {
  test('loses none that was acknowledged; all sent again under their keys are done once', async () => {
    const first = await home.start()
    const owner = await signInOwner(first)
    const customer = await registerUser(first, owner, 'Ada')
    const keys = Array.from({length: commandCount}, newKey)
    const grant = async (by: Api, index: number): Promise<boolean> => {
      const gift = {userId: customer.userId, minutes: 1, reason: 'a minute', idempotencyKey: keys[index]}
      return (await by.change('grantHours', gift)).__typename === 'GrantHoursSuccess'
    }
    const acknowledged = await cutOff(first, name, index => grant(owner, index))

    const second = await home.start()
    const {availableMinutes} = await heldAndAvailable(again(second, customer))
    expect(availableMinutes).toBeGreaterThanOrEqual(acknowledged)
    const ownerAgain = again(second, owner)
    expect(await Promise.all(keys.map((_, index) => grant(ownerAgain, index)))).toEqual(keys.map(() => true))
    expect(await heldAndAvailable(again(second, customer))).toEqual({availableMinutes: commandCount, heldMinutes: 0})
  })
})

test('bookings that a kill cuts off half-way are finished after the next start, without being asked again', async () => {
  const first = await home.start()
  const owner = await signInOwner(first)
  const customers = await Promise.all(
    Array.from({length: 10}, async (_, index) => {
      const customer = await registerUser(first, owner, `Customer ${index}`)
      const gift = {userId: customer.userId, minutes: 60 * commandCount, reason: 'a gift'}
      expect(await owner.change('grantHours', gift)).toMatchObject({__typename: 'GrantHoursSuccess'})
      return customer
    }),
  )
  const hourMs = 3_600_000
  const firstHourMs = (Math.floor(Date.now() / hourMs) + 24) * hourMs
  const acknowledged = await cutOff(first, 'SIGKILL', async index => {
    // Each has a time of its own, so that none of them can be refused.
    const start = new Date(firstHourMs + 2 * index * hourMs).toISOString()
    const customer = customers[index % customers.length] as Api
    const booked = await customer.change('book', {serviceId: 'ENCH', realmId: 'EU', start, minutes: 60})
    return booked.__typename === 'BookSuccess'
  })

  const second = await home.start()
  const ownerAgain = again(second, owner)
  type Change = {readonly bookingChanged: {readonly id: string}}
  const changes = await ownerAgain.watch<Change>('subscription { bookingChanged { id } }')
  const balances = await Promise.all(customers.map(customer => heldAndAvailable(again(second, customer))))
  const held = balances.reduce((sum, {heldMinutes}) => sum + heldMinutes / 60, 0)
  const confirmed = new Set(await confirmedBookings(ownerAgain))
  expect(held).toBeGreaterThanOrEqual(acknowledged)
  if (confirmed.size < held) {
    await changes.until(({bookingChanged}) => confirmed.add(bookingChanged.id).size === held)
  }
  expect(await confirmedBookings(ownerAgain)).toHaveLength(held)
})

async function confirmedBookings(operator: Api): Promise<readonly string[]> {
  type Page = {readonly edges: readonly {readonly node: {readonly id: string}}[]; readonly pageInfo: PageInfo}
  type PageInfo = {readonly hasNextPage: boolean; readonly endCursor: string | null}
  const ids: string[] = []
  for (let after: string | null = null, more = true; more;) {
    const {bookings}: {bookings: Page} = await operator.ask(
      `query ($after: String) {
        bookings(first: 100, after: $after, status: CONFIRMED) { edges { node { id } } pageInfo { hasNextPage endCursor } }
      }`,
      {after},
    )
    ids.push(...bookings.edges.map(({node}) => node.id))
    after = bookings.pageInfo.endCursor
    more = bookings.pageInfo.hasNextPage
  }
  return ids
}
