import {describe, expect, test} from 'vitest'
import {
  amountMinorMax,
  discounted,
  discountOf,
  equalMoney,
  formatMoney,
  isCurrency,
  money,
  parseMoney,
  subtractMoney,
} from '../../src/kernel/money.ts'

const eur = (amountMinor: number) => money(amountMinor, 'EUR')

describe('money', () => {
  test('takes over the amount and the currency and nothing else', () => {
    expect(parseMoney({amountMinor: 1250, currency: 'EUR', role: 'owner'})).toEqual({
      amountMinor: 1250,
      currency: 'EUR',
    })
  })

  test.each([
    {amountMinor: -1, currency: 'EUR'},
    {amountMinor: 0.5, currency: 'EUR'},
    {amountMinor: 2 ** 53 + 1, currency: 'EUR'},
    {amountMinor: amountMinorMax + 1, currency: 'EUR'},
    {amountMinor: '1250', currency: 'EUR'},
    {amountMinor: 1250, currency: 'eur'},
    {amountMinor: 1250, currency: 'EURO'},
    {amountMinor: 1250},
    {currency: 'EUR'},
    null,
    '12.50 EUR',
    [1250, 'EUR'],
  ])('refuses %o', value => {
    expect(parseMoney(value)).toBeNull()
  })

  test('knows which codes name a currency', () => {
    expect(isCurrency('EUR')).toBe(true)
    expect(isCurrency('ZZZ')).toBe(false)
  })

  test('subtracts within one currency, never below zero', () => {
    expect(subtractMoney(eur(100), eur(100))).toEqual(eur(0))
    expect(() => subtractMoney(eur(1), eur(2))).toThrow(RangeError)
    expect(() => subtractMoney(eur(100), money(100, 'USD'))).toThrow(/EUR and USD/)
  })

  test('is equal in amount and currency', () => {
    expect(equalMoney(eur(100), money(100, 'USD'))).toBe(false)
    expect(equalMoney(eur(100), eur(101))).toBe(false)
    expect(equalMoney(eur(100), eur(100))).toBe(true)
  })
})

describe('a discount', () => {
  test.each([
    [1000, 10, 100],
    [105, 10, 10],
    [199, 50, 99],
    [99, 1, 0],
    [1, 99, 0],
    [1234, 0, 0],
    [1234, 100, 1234],
    [amountMinorMax, 33, 3_300_000_000_000],
  ])('on %d minor units of %d % takes off %d, rounded down', (price, percent, off) => {
    expect(discountOf(eur(price), percent)).toEqual(eur(off))
    expect(discounted(eur(price), percent)).toEqual(eur(price - off))
  })

  test.each([-1, 101, 12.5, Number.NaN])('of %d % does not exist', percent => {
    expect(() => discountOf(eur(1000), percent)).toThrow(RangeError)
  })
})

describe('money is written', () => {
  test.each([
    [1250, 'EUR', '12.50 EUR'],
    [5, 'EUR', '0.05 EUR'],
    [0, 'EUR', '0.00 EUR'],
    [1200, 'JPY', '1200 JPY'],
    [0, 'JPY', '0 JPY'],
    [1250, 'KWD', '1.250 KWD'],
    [1, 'CLF', '0.0001 CLF'],
  ])('%d %s as "%s"', (amountMinor, currency, text) => {
    expect(formatMoney(money(amountMinor, currency))).toBe(text)
  })
})
