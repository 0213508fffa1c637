import type {CatalogueCommand} from './catalogue/decider.ts'
import type {Caller} from './dispatch/caller.ts'
import type {Operations} from './dispatch/operations.ts'
import {ownerId} from './dispatch/people.ts'
import {idOf} from './kernel/ids.ts'

/** What a development node starts with, so that there is something to book: a catalogue and a simulated fleet. */
export async function seedDevelopment(operations: Operations): Promise<void> {
  const caller: Caller = {userId: ownerId, roles: ['owner'], requestId: 'development-seed'}
  for (const [index, command] of catalogueSeed().entries()) {
    const answer = await operations.changeCatalogue(caller, {idempotencyKey: `seed-catalogue-${index}`, command})
    if (!answer.ok) throw new Error(`the catalogue could not be seeded: ${answer.refusal.type}`)
  }
  for (const [realm, count] of Object.entries(fleet)) {
    for (let number = 1; number <= count; number++) {
      const name = `${realm.toLowerCase()}-${number}`
      await operations.registerMachine(caller, {
        idempotencyKey: `seed-machine-${name}`,
        machineId: idOf<'Machine'>(name),
        name: `${realm} ${number}`,
        poolId: idOf<'Pool'>(realm.toLowerCase()),
        services: services.map(([code]) => idOf<'Service'>(code)),
        driver: {kind: 'simulated', config: {bootSeconds: 20, stopSeconds: 5}},
      })
    }
  }
}

const services = [
  ['ENCH', 'Enchanting', 10],
  ['BO', 'Blood Orbs', 15],
  ['KD', 'Kill Death', 12],
  ['BOSS', 'Boss Farm', 20],
] as const

const realms = [
  ['EU', 'Europe'],
  ['NA', 'North America'],
  ['KR', 'Korea'],
] as const

const packs = [
  ['pack-10h', '10 hours', 10, 5],
  ['pack-25h', '25 hours', 25, 10],
  ['pack-50h', '50 hours', 50, 18],
] as const

/** Machines of each realm. */
const fleet: Readonly<Record<string, number>> = {EU: 2, NA: 2, KR: 1}

function catalogueSeed(): readonly CatalogueCommand[] {
  const dollars = (amount: number) => ({amountMinor: amount * 100, currency: 'USD'})
  return [
    ...services.map(([code, name, price]): CatalogueCommand => {
      const service = {serviceId: idOf<'Service'>(code), name, pricePerHour: dollars(price)}
      return {type: 'ListService', service}
    }),
    ...realms.map(([code, name]): CatalogueCommand => {
      const realm = {realmId: idOf<'Realm'>(code), name, poolId: idOf<'Pool'>(code.toLowerCase())}
      return {type: 'ListRealm', realm}
    }),
    ...packs.map(([id, name, hours, price]): CatalogueCommand => {
      const pack = {packId: idOf<'Pack'>(id), name, minutes: hours * 60, price: dollars(price)}
      return {type: 'ListPack', pack}
    }),
    {type: 'SetDiscount', discount: {minutesMin: 600, percent: 10}},
  ]
}
