import type {CatalogueQueries} from '../projections/catalogue.ts'
import type {MachineQueries} from '../projections/machines.ts'
import type {CatalogueCommand} from './catalogue/decider.ts'
import type {Caller} from './dispatch/caller.ts'
import type {Operations} from './dispatch/operations.ts'
import {ownerId} from './dispatch/people.ts'
import {idOf} from './kernel/ids.ts'

/** What is there already, and is the owner's by now: their prices and names stay. */
interface Known {
  readonly catalogue: Pick<CatalogueQueries, 'service' | 'realm' | 'pack' | 'discount'>
  readonly machines: Pick<MachineQueries, 'machine'>
}

/** What a development node starts with, so that there is something to book: a catalogue and a simulated fleet. */
export async function seedDevelopment(operations: Operations, known: Known = nothing): Promise<void> {
  const caller: Caller = {userId: ownerId, roles: ['owner'], requestId: 'development-seed'}
  const missing = catalogueSeed(known.catalogue).filter(({isListed}) => !isListed)
  // All at once: what waits for one stream is written together.
  await Promise.all(
    missing.map(async ({name, command}) => {
      const answer = await operations.changeCatalogue(caller, {idempotencyKey: `seed ${name}`, command})
      if (!answer.ok) throw new Error(`${name} could not be seeded: ${answer.refusal.type}`)
    }),
  )
  const machines = fleetSeed().filter(({machineId}) => known.machines.machine(machineId) === null)
  await Promise.all(
    machines.map(async machine => {
      const request = {...machine, idempotencyKey: `seed machine ${machine.machineId}`}
      const answer = await operations.registerMachine(caller, request)
      if (!answer.ok) throw new Error(`the fleet could not be seeded: ${answer.refusal.type}`)
    }),
  )
}

const nothing: Known = {
  catalogue: {service: () => null, realm: () => null, pack: () => null, discount: () => null},
  machines: {machine: () => null},
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

function fleetSeed() {
  return Object.entries(fleet).flatMap(([realm, count]) =>
    Array.from({length: count}, (_, index) => ({
      machineId: idOf<'Machine'>(`${realm.toLowerCase()}-${index + 1}`),
      name: `${realm} ${index + 1}`,
      poolId: idOf<'Pool'>(realm.toLowerCase()),
      services: services.map(([code]) => idOf<'Service'>(code)),
      driver: {kind: 'simulated', config: {bootSeconds: 20, stopSeconds: 5}},
    })),
  )
}

interface SeedEntry {
  readonly name: string
  readonly isListed: boolean
  readonly command: CatalogueCommand
}

function catalogueSeed(known: Known['catalogue']): readonly SeedEntry[] {
  const dollars = (amount: number) => ({amountMinor: amount * 100, currency: 'USD'})
  return [
    ...services.map(([code, name, price]): SeedEntry => {
      const service = {serviceId: idOf<'Service'>(code), name, pricePerHour: dollars(price)}
      const isListed = known.service(code) !== null
      return {name: `service ${code}`, isListed, command: {type: 'ListService', service}}
    }),
    ...realms.map(([code, name]): SeedEntry => {
      const realm = {realmId: idOf<'Realm'>(code), name, poolId: idOf<'Pool'>(code.toLowerCase())}
      const isListed = known.realm(code) !== null
      return {name: `realm ${code}`, isListed, command: {type: 'ListRealm', realm}}
    }),
    ...packs.map(([id, name, hours, price]): SeedEntry => {
      const pack = {packId: idOf<'Pack'>(id), name, minutes: hours * 60, price: dollars(price)}
      const isListed = known.pack(id) !== null
      return {name: `pack ${id}`, isListed, command: {type: 'ListPack', pack}}
    }),
    {
      name: 'discount',
      isListed: known.discount() !== null,
      command: {type: 'SetDiscount', discount: {minutesMin: 600, percent: 10}},
    },
  ]
}
