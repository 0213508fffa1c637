import type {BookingRow} from '../../projections/agenda.ts'
import type {LedgerRow} from '../../projections/balances.ts'
import type {PackEntry, RealmEntry, ServiceEntry} from '../../projections/catalogue.ts'
import type {MachineRow} from '../../projections/machines.ts'
import type {PurchaseRow} from '../../projections/purchases.ts'
import type {UserRow} from '../../projections/users.ts'
import type {Money} from '../kernel/money.ts'
import {builder, nodeTypes} from './builder.ts'

// The types that slices refer to each other by. Each is implemented in its own slice.

export const userRef = builder.objectRef<UserRow>('User')
export const bookingRef = builder.objectRef<BookingRow>('Booking')
export const serviceRef = builder.objectRef<ServiceEntry>('Service')
export const realmRef = builder.objectRef<RealmEntry>('Realm')
export const packRef = builder.objectRef<PackEntry>('Pack')
export const machineRef = builder.objectRef<MachineRow>('Machine')
export const purchaseRef = builder.objectRef<PurchaseRow>('Purchase')
export const ledgerLineRef = builder.objectRef<LedgerRow>('LedgerLine')

for (const ref of [userRef, bookingRef, serviceRef, realmRef, packRef, machineRef, purchaseRef]) nodeTypes.add(ref.name)

export const moneyRef = builder.objectRef<Money>('Money').implement({
  description: 'An amount in the smallest unit of its currency, e.g. cents.',
  fields: t => ({
    amountMinor: t.float({
      description: 'Whole minor units; a Float, because a price may exceed 32 bits.',
      resolve: money => money.amountMinor,
    }),
    currency: t.exposeString('currency', {description: 'ISO 4217 code.'}),
  }),
})

export const moneyInputRef = builder.inputType('MoneyInput', {
  fields: t => ({
    amountMinor: t.float({required: true, description: 'Whole minor units, 0 or more.'}),
    currency: t.string({required: true, description: 'ISO 4217 code.'}),
  }),
})
