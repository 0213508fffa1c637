import {afterEach, describe, expect, test} from 'vitest'
import {idOf, type PurchaseId} from '../../src/kernel/ids.ts'
import type {AppendFate, AppendSeen} from '../support/watched-store.ts'
import {Crashed} from '../support/watched-store.ts'
import {balanceOf, customer, owner} from '../support/world-acts.ts'
import type {RunningEngine} from '../support/world-engine.ts'
import {startWorld, type World} from '../support/world.ts'

let world: World
afterEach(() => world.stop())

function diesAt(nth: number, how: Exclude<AppendFate, 'lives'>) {
  let appends = 0
  return ({stream}: AppendSeen): AppendFate =>
    /^(account|purchase)-/.test(stream) && ++appends === nth ? how : 'lives'
}

async function checkout({engine}: RunningEngine): Promise<PurchaseId> {
  const started = await engine.purchases.startCheckout(customer('ann'), {idempotencyKey: 'buy', packId: idOf('ten')})
  if (!started.ok) throw new Error(started.refusal.type)
  return started.value.purchaseId
}

const pay = ({engine}: RunningEngine, purchaseId: PurchaseId, key = 'pay') =>
  engine.purchases.markCheckoutPaid(owner, {idempotencyKey: key, purchaseId, amount: null})

const typesOf = async (): Promise<readonly string[]> =>
  (await world.log()).flatMap(({event, stream}) => (/^(account|purchase)-/.test(stream) ? [event.type] : []))

const paidOnce = ['CheckoutStarted', 'PaymentReceived', 'HoursGranted', 'PurchaseFulfilled']
const cases = ([1, 2, 3] as const).flatMap(nth => (['dies before', 'dies after'] as const).map(how => ({nth, how})))

describe('a payment', () => {
  test.each(cases)(
    'whose driver dies at append $nth ($how it) is credited once, or not received',
    async ({nth, how}) => {
      world = await startWorld()
      const back = await world.startEngine()
      const purchaseId = await checkout(back)
      await world.quiet()
      const front = await world.startEngine({fateOf: diesAt(nth, how)})
      await expect(pay(front, purchaseId)).rejects.toThrow(Crashed)
      await front.stop()

      back.act()
      await world.advance(1_000)
      const isReceived = nth > 1 || how === 'dies after'
      expect(await typesOf()).toEqual(isReceived ? paidOnce : ['CheckoutStarted'])
      expect(balanceOf(back.engine, 'ann', world.now())).toEqual([isReceived ? 600 : 0, 0])

      // The operator, who got no answer, tries again.
      const repeat = await world.during(pay(back, purchaseId))
      expect(repeat).toMatchObject({ok: true, value: {purchaseId, status: 'fulfilled'}})
      await world.quiet()
      expect(await typesOf()).toEqual(paidOnce)
      expect(balanceOf(back.engine, 'ann', world.now())).toEqual([600, 0])
      expect(back.complaints).toEqual([])
    },
  )

  test('that two operators mark on two nodes, with the shop process at work, is credited once', async () => {
    world = await startWorld()
    const [one, two] = [await world.startEngine(), await world.startEngine({nodeId: 'node-b'})]
    const purchaseId = await checkout(one)
    await world.quiet()
    one.act()
    const answers = await world.during(Promise.all([pay(one, purchaseId, 'first'), pay(two, purchaseId, 'second')]))
    expect(answers.map(({ok}) => ok)).toEqual([true, true])
    await world.advance(1_000)
    expect(await typesOf()).toEqual(paidOnce)
    expect(balanceOf(two.engine, 'ann', world.now())).toEqual([600, 0])
  })
})
