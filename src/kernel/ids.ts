import {hash} from 'node:crypto'

/** Ids are text of 1–64 letters, digits, `_`, `.`, `-`; parsed once at the edge and branded from there on. */
export type Id<Name extends string> = string & {readonly __id: Name}
export type UserId = Id<'User'>
export type MachineId = Id<'Machine'>
export type PoolId = Id<'Pool'>
export type ServiceId = Id<'Service'>
export type RealmId = Id<'Realm'>
export type PackId = Id<'Pack'>
export type BookingId = Id<'Booking'>
export type PurchaseId = Id<'Purchase'>
export type GrantId = Id<'Grant'>
/** Names one wish of one caller; a repeat of the wish carries the same id. */
export type CommandId = Id<'Command'>

const idPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/

/** Checks and brands an id; null when it is none. */
export function parseId<Name extends string>(value: unknown): Id<Name> | null {
  return typeof value === 'string' && idPattern.test(value) ? (value as Id<Name>) : null
}

/** Brands text that this program made or read from its own log. Throws when it is no id. */
export function idOf<Name extends string>(value: string): Id<Name> {
  const id = parseId<Name>(value)
  if (id === null) throw new TypeError(`not an id: ${JSON.stringify(value.slice(0, 80))}`)
  return id
}

const namespace = Buffer.from('b6f1c1f06a524d0e9a9c5b2f6a3f7d11', 'hex')

/** The same parts give the same UUID (version 5, RFC 9562), on every node and after every crash. */
export function derivedUuid(...parts: readonly string[]): string {
  const digest = hash('sha1', Buffer.concat([namespace, Buffer.from(JSON.stringify(parts))]), 'hex')
  const variant = '89ab'[Number.parseInt(digest.charAt(16), 16) & 0x3]
  return (
    `${digest.slice(0, 8)}-${digest.slice(8, 12)}-5${digest.slice(13, 16)}` +
    `-${variant}${digest.slice(17, 20)}-${digest.slice(20, 32)}`
  )
}

/**
 * The id of a command that follows from another fact, e.g. the release that follows a refused allocation: readable, and
 * unambiguous as long as only the last part can hold a colon (ids hold none).
 */
export function derivedCommandId(...parts: readonly string[]): CommandId {
  return parts.join(':') as CommandId
}

/** Source of fresh ids; handed in by the composition root so that a simulation can seed it. */
export interface IdSource {
  uuid(): string
}
