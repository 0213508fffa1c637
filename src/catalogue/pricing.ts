import {discounted, money, type Money} from '../kernel/money.ts'
import type {Discount, Service} from './decider.ts'

export interface Quote {
  readonly list: Money
  readonly discountPercent: number
  readonly total: Money
}

/** The list value of so many minutes of a service; parts of a minor unit are rounded down once, on the whole. */
export function quoteFor(service: Service, discount: Discount | null, minutes: number): Quote {
  const {amountMinor, currency} = service.pricePerHour
  const list = money(Math.floor((amountMinor * minutes) / 60), currency)
  const discountPercent = discount !== null && minutes >= discount.minutesMin ? discount.percent : 0
  return {list, discountPercent, total: discounted(list, discountPercent)}
}
