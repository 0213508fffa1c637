import {describe, expect, test} from 'vitest'
import {catalogue, type CatalogueCommand, type Pack, type Realm, type Service} from '../../src/catalogue/decider.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {at, given} from '../support/given.ts'

const now = at('10:00')
const euros = (amountMinor: number): {amountMinor: number; currency: string} => ({amountMinor, currency: 'EUR'})
const service: Service = {serviceId: idOf('valheim'), name: 'Valheim', pricePerHour: euros(80)}
const realm: Realm = {realmId: idOf('eu'), name: 'Europe', poolId: idOf('pool-eu')}
const pack: Pack = {packId: idOf('ten'), name: 'Ten hours', minutes: 600, price: euros(700)}

describe('listing a service', () => {
  const list = (listed: Service): CatalogueCommand => ({type: 'ListService', service: listed})
  const before = given(catalogue, {type: 'ServiceListed', data: service})

  test('makes it known, and repeated is quiet', () => {
    given(catalogue).when(list(service), now).thenEvents({type: 'ServiceListed', data: service})
    before.when(list({...service}), now).thenNothing()
    expect(before.state.services).toEqual({valheim: service})
  })

  test.each<Partial<Service>>([
    {name: 'Valheim Plus'},
    {pricePerHour: euros(81)},
    {pricePerHour: {amountMinor: 80, currency: 'USD'}},
  ])('again changes it: %j', change => {
    const changed = {...service, ...change}
    before.when(list(changed), now).thenEvents({type: 'ServiceListed', data: changed})
  })
})

describe('listing a realm', () => {
  const list = (listed: Realm): CatalogueCommand => ({type: 'ListRealm', realm: listed})
  const before = given(catalogue, {type: 'RealmListed', data: realm})

  test('makes it known, repeated is quiet, another name is recorded', () => {
    given(catalogue).when(list(realm), now).thenEvents({type: 'RealmListed', data: realm})
    before.when(list({...realm}), now).thenNothing()
    const renamed = {...realm, name: 'EU'}
    before.when(list(renamed), now).thenEvents({type: 'RealmListed', data: renamed})
  })

  test('does not move it to another pool, where its bookings are not', () => {
    before
      .when(list({...realm, poolId: idOf('pool-us')}), now)
      .thenRefused({type: 'RealmHasOtherPool', poolId: 'pool-eu'})
  })
})

describe('listing a pack', () => {
  const list = (listed: Pack): CatalogueCommand => ({type: 'ListPack', pack: listed})
  const before = given(catalogue, {type: 'PackListed', data: pack})

  test('makes it known, and repeated is quiet', () => {
    given(catalogue).when(list(pack), now).thenEvents({type: 'PackListed', data: pack})
    before.when(list({...pack}), now).thenNothing()
  })

  test.each<Partial<Pack>>([{name: 'Ten'}, {minutes: 660}, {price: euros(701)}])('again changes it: %j', change => {
    const changed = {...pack, ...change}
    before.when(list(changed), now).thenEvents({type: 'PackListed', data: changed})
  })
})

describe('setting the discount', () => {
  const discount = {minutesMin: 600, percent: 10}
  const set = (wanted: typeof discount): CatalogueCommand => ({type: 'SetDiscount', discount: wanted})

  test('is recorded, repeated is quiet, another replaces it', () => {
    given(catalogue).when(set(discount), now).thenEvents({type: 'DiscountSet', data: discount})
    const before = given(catalogue, {type: 'DiscountSet', data: discount})
    before.when(set({...discount}), now).thenNothing()
    before.when(set({...discount, percent: 0}), now).thenEvents({type: 'DiscountSet', data: {...discount, percent: 0}})
    expect(before.state.discount).toEqual(discount)
  })
})

test.each(['constructor', 'toString', 'valueOf', 'hasOwnProperty'])('takes an id that JavaScript knows too: %s', id => {
  const [s, r, p] = [
    {...service, serviceId: idOf<'Service'>(id)},
    {...realm, realmId: idOf<'Realm'>(id)},
    {...pack, packId: idOf<'Pack'>(id)},
  ]
  given(catalogue).when({type: 'ListService', service: s}, now).thenEvents({type: 'ServiceListed', data: s})
  given(catalogue).when({type: 'ListRealm', realm: r}, now).thenEvents({type: 'RealmListed', data: r})
  given(catalogue).when({type: 'ListPack', pack: p}, now).thenEvents({type: 'PackListed', data: p})
})
