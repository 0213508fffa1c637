/** What people do in a world, and what is to be read of it afterwards. */
import type {Caller} from '../../src/dispatch/caller.ts'
import type {Engine} from '../../src/engine.ts'
import {idOf} from '../../src/kernel/ids.ts'
import type {Instant} from '../../src/kernel/time.ts'
import type {World} from './world.ts'

export const owner: Caller = {userId: idOf('owner'), roles: ['owner', 'operator'], requestId: 'test'}
export const customer = (name: string): Caller => ({userId: idOf(name), roles: ['customer'], requestId: `of-${name}`})

export async function addMachine(engine: Engine, machineId: string, config: unknown): Promise<void> {
  const registered = await engine.operations.registerMachine(owner, {
    idempotencyKey: `register-${machineId}`,
    machineId: idOf(machineId),
    name: machineId,
    poolId: idOf('eu'),
    services: [idOf('ENCH')],
    driver: {kind: 'simulated', config},
  })
  if (!registered.ok) throw new Error(registered.refusal.type)
}

export async function grant(engine: Engine, name: string, minutes: number): Promise<void> {
  const granted = await engine.purchases.grantHours(owner, {
    idempotencyKey: `grant-${name}-${minutes}`,
    userId: idOf(name),
    minutes,
    reason: 'test',
    expiresAt: null,
  })
  if (!granted.ok) throw new Error(granted.refusal.type)
}

export function book(engine: Engine, name: string, start: Instant, more: {key?: string; minutes?: number} = {}) {
  const {key = `book-${name}-${start}`, minutes = 60} = more
  const place = {serviceId: idOf<'Service'>('ENCH'), realmId: idOf<'Realm'>('EU')}
  return engine.bookings.book(customer(name), {idempotencyKey: key, ...place, start, minutes, zone: null})
}

/** Books and insists on it. */
export async function booked(
  engine: Engine,
  name: string,
  start: Instant,
  more: {key?: string; minutes?: number} = {},
) {
  const answer = await book(engine, name, start, more)
  if (!answer.ok) throw new Error(`refused: ${answer.refusal.type}`)
  return answer.value
}

/** A booking's facts in the order of the log, whatever stream they are in: type and data. */
export async function factsOf(world: World, bookingId: string): Promise<readonly [string, Record<string, unknown>][]> {
  const facts = (await world.log()).map(({event}): [string, Record<string, unknown>] => [event.type, {...event.data}])
  return facts.filter(([, data]) => data['bookingId'] === bookingId)
}

export async function lifeOf(world: World, bookingId: string): Promise<readonly string[]> {
  return (await factsOf(world, bookingId)).map(([type]) => type)
}

export function balanceOf(engine: Engine, name: string, now: Instant): [available: number, held: number] {
  const {availableMinutes, heldMinutes} = engine.queries.balances.balance(name, now)
  return [availableMinutes, heldMinutes]
}

/** A service, a realm with its pool, a pack, and the machines of the pool. */
export async function seedCatalogue(engine: Engine, machines: Readonly<Record<string, unknown>>): Promise<void> {
  const {operations} = engine
  const dollars = (amount: number) => ({amountMinor: amount * 100, currency: 'USD'})
  const commands = [
    {type: 'ListService', service: {serviceId: idOf<'Service'>('ENCH'), name: 'Enchanting', pricePerHour: dollars(10)}},
    {type: 'ListRealm', realm: {realmId: idOf<'Realm'>('EU'), name: 'Europe', poolId: idOf<'Pool'>('eu')}},
    {type: 'ListPack', pack: {packId: idOf<'Pack'>('ten'), name: 'Ten hours', minutes: 600, price: dollars(50)}},
  ] as const
  for (const [index, command] of commands.entries()) {
    const changed = await operations.changeCatalogue(owner, {idempotencyKey: `seed-${index}`, command})
    if (!changed.ok) throw new Error(changed.refusal.type)
  }
  for (const [machineId, config] of Object.entries(machines)) await addMachine(engine, machineId, config)
}
