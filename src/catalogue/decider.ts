import {accept, assertNever, refuse, type Decider} from '../kernel/decider.ts'
import {equalMoney} from '../kernel/money.ts'
import {catalogueCategory, type CatalogueEvent} from './events.ts'

type DataOf<Type extends CatalogueEvent['type']> = Extract<CatalogueEvent, {type: Type}>['data']
export type Service = DataOf<'ServiceListed'>
export type Realm = DataOf<'RealmListed'>
export type Pack = DataOf<'PackListed'>
export type Discount = DataOf<'DiscountSet'>

export type CatalogueCommand =
  | {readonly type: 'ListService'; readonly service: Service}
  | {readonly type: 'ListRealm'; readonly realm: Realm}
  | {readonly type: 'ListPack'; readonly pack: Pack}
  | {readonly type: 'SetDiscount'; readonly discount: Discount}

/** The pool of a realm holds its machines' agendas: moving the realm would leave them behind. */
export type CatalogueRefusal = {readonly type: 'RealmHasOtherPool'; readonly poolId: string}

export interface CatalogueState {
  readonly services: Readonly<Record<string, Service>>
  readonly realms: Readonly<Record<string, Realm>>
  readonly packs: Readonly<Record<string, Pack>>
  readonly discount: Discount | null
}

export const catalogue: Decider<CatalogueState, CatalogueCommand, CatalogueEvent, CatalogueRefusal> = {
  category: catalogueCategory,
  initial: {services: noEntries(), realms: noEntries(), packs: noEntries(), discount: null},

  decide(command, state) {
    switch (command.type) {
      case 'ListService': {
        const {serviceId, name, pricePerHour} = command.service
        const known = state.services[serviceId]
        if (known !== undefined && known.name === name && equalMoney(known.pricePerHour, pricePerHour)) return accept()
        return accept({type: 'ServiceListed', data: command.service})
      }
      case 'ListRealm': {
        const {realmId, name, poolId} = command.realm
        const known = state.realms[realmId]
        if (known !== undefined && known.poolId !== poolId) {
          return refuse({type: 'RealmHasOtherPool', poolId: known.poolId})
        }
        return known?.name === name ? accept() : accept({type: 'RealmListed', data: command.realm})
      }
      case 'ListPack': {
        const {packId, name, minutes, price} = command.pack
        const known = state.packs[packId]
        const same = known !== undefined && known.name === name && known.minutes === minutes
        return same && equalMoney(known.price, price) ? accept() : accept({type: 'PackListed', data: command.pack})
      }
      case 'SetDiscount': {
        const {minutesMin, percent} = command.discount
        const same = state.discount?.minutesMin === minutesMin && state.discount.percent === percent
        return same ? accept() : accept({type: 'DiscountSet', data: command.discount})
      }
      default:
        return assertNever(command)
    }
  },

  evolve(state, event) {
    switch (event.type) {
      case 'ServiceListed':
        return {...state, services: withEntry(state.services, event.data.serviceId, event.data)}
      case 'RealmListed':
        return {...state, realms: withEntry(state.realms, event.data.realmId, event.data)}
      case 'PackListed':
        return {...state, packs: withEntry(state.packs, event.data.packId, event.data)}
      case 'DiscountSet':
        return {...state, discount: event.data}
      default:
        return assertNever(event)
    }
  },
}

/** Without a prototype: `constructor` is a fine id, and must not be found before it is listed. */
function noEntries(): Readonly<Record<string, never>> {
  return Object.create(null) as Readonly<Record<string, never>>
}

function withEntry<Value>(
  entries: Readonly<Record<string, Value>>,
  id: string,
  value: Value,
): Readonly<Record<string, Value>> {
  return Object.assign(noEntries(), entries, {[id]: value})
}
