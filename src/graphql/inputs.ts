import {parseId, type Id} from '../kernel/ids.ts'
import {isCurrency, parseMoney, type Money} from '../kernel/money.ts'
import {badInput} from './errors.ts'

/** `Booking:1f0e…` → its two parts; null when the text is no global id. */
export function parseGlobalId(globalId: string): {readonly typename: string; readonly id: string} | null {
  const [, typename, rest] = /^([A-Z][A-Za-z]{0,31}):(.+)$/.exec(globalId) ?? []
  const id = parseId(rest)
  return typename === undefined || id === null ? null : {typename, id}
}

/** An id given for a type: as the API gives it (`Service:ench`), or without its type (`ench`). Throws BAD_INPUT. */
export function idInput<Name extends string>(typename: Name, field: string, value: string): Id<Name> {
  const bare = value.startsWith(`${typename}:`) ? value.slice(typename.length + 1) : value
  const id = parseId<Name>(bare)
  if (id === null) throw badInput(field, `This is not the id of a ${typename}.`)
  return id
}

/** The same for an argument that may be left out. */
export function optionalIdInput<Name extends string>(
  typename: Name,
  field: string,
  value: string | null | undefined,
): Id<Name> | null {
  return typeof value === 'string' ? idInput(typename, field, value) : null
}

/** Throws BAD_INPUT unless the key is 1 to 128 printable ASCII characters. */
export function keyInput(idempotencyKey: string): string {
  if (/^[\x20-\x7e]{1,128}$/.test(idempotencyKey)) return idempotencyKey
  throw badInput('idempotencyKey', 'A key is 1 to 128 printable ASCII characters.')
}

/** One line of text for people, trimmed; 1 to `charactersMax` characters and no control characters. Throws BAD_INPUT. */
export function textInput(field: string, value: string, charactersMax: number): string {
  const text = value.trim()
  const isPlain = text.isWellFormed() && !/[\p{Cc}\u2028\u2029]/u.test(text)
  if (isPlain && text.length > 0 && text.length <= charactersMax) return text
  throw badInput(field, `This is a line of 1 to ${charactersMax} characters.`)
}

/** Throws BAD_INPUT unless min ≤ value ≤ max. */
export function rangeInput(field: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw badInput(field, `This is a whole number from ${min} to ${max}.`)
}

/** A price in a currency in use. Throws BAD_INPUT. */
export function moneyInput(field: string, value: {readonly amountMinor: number; readonly currency: string}): Money {
  const money = parseMoney(value)
  if (money === null) throw badInput(field, 'An amount is whole minor units, 0 or more, and an ISO 4217 code.')
  if (!isCurrency(money.currency)) throw badInput(`${field}.currency`, 'This is no currency in use.')
  return money
}
