import {createCipheriv, createDecipheriv, createSecretKey, type KeyObject} from 'node:crypto'
import type {UserId} from '../kernel/ids.ts'
import {masterKeyBytes, type RandomBytes} from './secrets.ts'

// Personal fields in events are stored encrypted under a key of the user's own, and that key, wrapped by the master key,
// in a stream of its own. Deleting that stream makes every copy of the fields unreadable, in the log and on other nodes,
// while the events and all balances stay as they are. A backup taken before holds the key still: keep backups only as
// long as an erasure may take. EventStoreDB keeps the last event of a stream that is merely deleted: tombstone it there.

/** A user's data key: 32 bytes for AES-256-GCM, and the name by which encrypted fields refer to it. */
export interface UserKey {
  readonly keyId: string
  readonly key: KeyObject
}

/** Where an encrypted field belongs. It opens only there: one copied to another stream or field does not. */
export interface FieldPlace extends UserKey {
  readonly stream: string
  readonly field: string
}

export type PersonalDataFault =
  /** Not a text that this module wrote. */
  | 'Malformed'
  /** Written by a newer version of this module. */
  | 'UnknownVersion'
  /** Encrypted under another of the user's keys. */
  | 'OtherKey'
  /** Changed, copied from another place, or the key is wrong: these cannot be told apart. */
  | 'NotAuthentic'

/** An encrypted text did not open. Holds neither the text nor a key. */
export class PersonalDataError extends Error {
  override readonly name = 'PersonalDataError'
  readonly fault: PersonalDataFault
  constructor(fault: PersonalDataFault, what: string) {
    super(`${what}: ${explanations[fault]}`)
    this.fault = fault
  }
}

const explanations: Readonly<Record<PersonalDataFault, string>> = {
  Malformed: 'not an encrypted text',
  UnknownVersion: 'encrypted in a form that this version does not know',
  OtherKey: 'encrypted under another key',
  NotAuthentic: 'changed, moved from its place, or encrypted under another key',
}

const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16
const clearTextBytesMax = 64 * 1024

export function newUserKey(random: RandomBytes): UserKey {
  return {keyId: Buffer.from(random(12)).toString('hex'), key: createSecretKey(random(keyBytes))}
}

/** The user's key as text to store: `k1.<keyId>.<nonce>.<ciphertext and tag>`, the last two in base64url. */
export function wrapKey(masterKey: KeyObject, userKey: UserKey, userId: UserId, random: RandomBytes): string {
  const {keyId, key} = userKey
  return seal('k1', {key: requireKey(masterKey), keyId, place: ['key', userId]}, key.export(), random)
}

/** Opens what `wrapKey` made for the same user. Throws `PersonalDataError`. */
export function unwrapKey(masterKey: KeyObject, wrapped: string, userId: UserId): UserKey {
  const what = 'wrapped user key'
  const parts = partsOf('k1', wrapped, what)
  const key = open('k1', {key: requireKey(masterKey), keyId: parts.keyId, place: ['key', userId]}, parts, what)
  if (key.length !== keyBytes) throw new PersonalDataError('Malformed', what)
  return {keyId: parts.keyId, key: createSecretKey(key)}
}

/** Encrypts a field of an event to `p1.<keyId>.<nonce>.<ciphertext and tag>`. At most 64 KB of well-formed text. */
export function encryptField(at: FieldPlace, clearText: string, random: RandomBytes): string {
  const bytes = Buffer.from(clearText, 'utf8')
  // A lone surrogate has no UTF-8; it would come back as another character.
  if (!clearText.isWellFormed() || bytes.length > clearTextBytesMax) {
    throw new RangeError(`${at.field} is no well-formed text of at most ${clearTextBytesMax} bytes`)
  }
  return seal('p1', {key: at.key, keyId: at.keyId, place: [at.stream, at.field]}, bytes, random)
}

/** Opens what `encryptField` made at the same place under the same key. Throws `PersonalDataError`. */
export function decryptField(at: FieldPlace, sealed: string): string {
  const what = `personal field ${at.field}`
  const parts = partsOf('p1', sealed, what)
  if (parts.keyId !== at.keyId) throw new PersonalDataError('OtherKey', what)
  return open('p1', {key: at.key, keyId: at.keyId, place: [at.stream, at.field]}, parts, what).toString('utf8')
}

/** Which key an encrypted field or a wrapped key names; null when the text is neither. */
export function keyIdOf(text: string): string | null {
  return form.exec(text)?.[2] ?? null
}

type Version = 'k1' | 'p1'

interface Lock {
  readonly key: KeyObject
  readonly keyId: string
  readonly place: readonly string[]
}

interface Parts {
  readonly keyId: string
  readonly nonce: Buffer
  readonly box: Buffer
}

const form = /^([kp]\d{1,3})\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/

function seal(version: Version, lock: Lock, clear: Uint8Array, random: RandomBytes): string {
  const nonce = Buffer.from(random(nonceBytes))
  if (nonce.length !== nonceBytes) throw new RangeError('the source of random bytes is broken')
  const cipher = createCipheriv('aes-256-gcm', lock.key, nonce, {authTagLength: tagBytes})
  cipher.setAAD(associatedData(version, lock))
  const box = Buffer.concat([cipher.update(clear), cipher.final(), cipher.getAuthTag()])
  return `${version}.${lock.keyId}.${nonce.toString('base64url')}.${box.toString('base64url')}`
}

function open(version: Version, lock: Lock, {nonce, box}: Parts, what: string): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', lock.key, nonce, {authTagLength: tagBytes})
  decipher.setAAD(associatedData(version, lock))
  decipher.setAuthTag(box.subarray(box.length - tagBytes))
  const clear = decipher.update(box.subarray(0, box.length - tagBytes))
  try {
    return Buffer.concat([clear, decipher.final()])
  } catch {
    // Node's reason is the same for every cause; ours says which text it was.
    throw new PersonalDataError('NotAuthentic', what)
  }
}

/** JSON, so that no two places have the same bytes. */
function associatedData(version: Version, {keyId, place}: Lock): Buffer {
  return Buffer.from(JSON.stringify([version, ...place, keyId]), 'utf8')
}

function partsOf(version: Version, text: string, what: string): Parts {
  const [, found, keyId = '', nonceText = '', boxText = ''] = form.exec(text) ?? []
  if (found === undefined || found[0] !== version[0]) throw new PersonalDataError('Malformed', what)
  if (found !== version) throw new PersonalDataError('UnknownVersion', what)
  const nonce = Buffer.from(nonceText, 'base64url')
  const box = Buffer.from(boxText, 'base64url')
  // Stray low bits in the last letter would make two texts of one box.
  const isCanonical = nonce.toString('base64url') === nonceText && box.toString('base64url') === boxText
  if (!isCanonical || nonce.length !== nonceBytes || box.length < tagBytes) {
    throw new PersonalDataError('Malformed', what)
  }
  return {keyId, nonce, box}
}

function requireKey(masterKey: KeyObject): KeyObject {
  if (masterKey.symmetricKeySize !== masterKeyBytes) throw new RangeError('the master key must have 32 bytes')
  return masterKey
}
