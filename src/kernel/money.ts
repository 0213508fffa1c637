/**
 * An amount in the currency's smallest unit (cents for EUR, yen for JPY), whole and never negative: which way money
 * moves is said by the event's name, not by a sign. `currency` is an ISO 4217 code.
 */
export interface Money {
  readonly amountMinor: number
  readonly currency: string
}

/** Ten trillion minor units: sums of many stay exact, and no price comes near it. */
export const amountMinorMax = 10_000_000_000_000

/** Makes money that this program computed. Throws on a fraction, a negative or an impossible code (a bug, not an input). */
export function money(amountMinor: number, currency: string): Money {
  const made = parseMoney({amountMinor, currency})
  if (made === null) throw new RangeError(`not money: ${amountMinor} ${currency}`)
  return made
}

/** Checks `{amountMinor, currency}` from outside; null when it is no money. Other properties are not taken over. */
export function parseMoney(value: unknown): Money | null {
  if (typeof value !== 'object' || value === null) return null
  const {amountMinor, currency} = value as {readonly amountMinor?: unknown; readonly currency?: unknown}
  if (typeof amountMinor !== 'number' || !Number.isInteger(amountMinor)) return null
  if (amountMinor < 0 || amountMinor > amountMinorMax) return null
  if (typeof currency !== 'string' || !/^[A-Z]{3}$/.test(currency)) return null
  return {amountMinor: amountMinor + 0, currency}
}

const knownCurrencies = new Set(Intl.supportedValuesOf('currency'))

/** Whether a code names a currency. For new prices only: a stored event may hold a currency abolished since. */
export function isCurrency(code: string): boolean {
  return knownCurrencies.has(code)
}

/** a − b. Throws on two currencies and when b is the larger. */
export function subtractMoney(a: Money, b: Money): Money {
  return money(a.amountMinor - sameCurrency(a, b).amountMinor, a.currency)
}

export function equalMoney(a: Money, b: Money): boolean {
  return a.amountMinor === b.amountMinor && a.currency === b.currency
}

/**
 * What a discount of 0–100 whole percent takes off a price, rounded down to the minor unit: a discount never exceeds
 * what was advertised, and 100 % is exactly the price. (Half to even is for sums of many roundings; here each price
 * is rounded once and shown at once, so the simpler rule, which a customer can check by hand, is the better one.)
 */
export function discountOf(price: Money, percent: number): Money {
  if (!Number.isInteger(percent) || percent < 0 || percent > 100) throw new RangeError(`not a percentage: ${percent}`)
  return money(Math.floor((price.amountMinor * percent) / 100), price.currency)
}

/** The price after a discount of 0–100 whole percent; `discountOf` has the rounding rule. */
export function discounted(price: Money, percent: number): Money {
  return subtractMoney(price, discountOf(price, percent))
}

/** `12.50 EUR`, `1200 JPY`, `1.250 KWD`: the same on every machine, whatever its locale. */
export function formatMoney({amountMinor, currency}: Money): string {
  const digits = minorDigits(currency)
  const text = String(amountMinor).padStart(digits + 1, '0')
  const whole = text.slice(0, text.length - digits)
  return digits === 0 ? `${whole} ${currency}` : `${whole}.${text.slice(-digits)} ${currency}`
}

// ISO 4217 list one, "minor unit" column. Intl is no source: it follows CLDR, which drops the cents of some currencies.
const otherMinorDigits: readonly (readonly [digits: number, codes: string])[] = [
  [0, 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'],
  [3, 'BHD IQD JOD KWD LYD OMR TND'],
  [4, 'CLF UYW'],
]

/** How many decimal places the minor unit stands for: 2 for most, 0 for yen. */
export function minorDigits(currency: string): number {
  return otherMinorDigits.find(([, codes]) => codes.split(' ').includes(currency))?.[0] ?? 2
}

function sameCurrency(a: Money, b: Money): Money {
  if (a.currency !== b.currency) throw new RangeError(`two currencies: ${a.currency} and ${b.currency}`)
  return b
}
