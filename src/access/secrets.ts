import {createSecretKey, type KeyObject} from 'node:crypto'
import {chmodSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'

/**
 * A signing key with the name that tokens carry in `kid`. Keys are `KeyObject`s everywhere, so that a key that ends up
 * in a log or an error prints as nothing.
 */
export interface TokenKey {
  readonly kid: string
  readonly secret: KeyObject
}

/** What a node needs to sign tokens (the first key signs, all verify) and to unwrap the keys of personal data. */
export interface Secrets {
  readonly tokenKeys: readonly TokenKey[]
  /** 32 bytes. */
  readonly masterKey: KeyObject
}

/** Source of unpredictable bytes; handed in so that a simulation can seed it. */
export type RandomBytes = (count: number) => Uint8Array

export const tokenSecretBytesMin = 32
export const masterKeyBytes = 32

/** Reads `kid:secret,kid:secret`. Answers the keys, or what is wrong with each in words that hold no part of a secret. */
export function parseTokenKeys(text: string): {readonly keys: readonly TokenKey[]} | {readonly faults: string[]} {
  const faults: string[] = []
  const keys = new Map<string, KeyObject>()
  for (const [index, pair] of text.split(',').entries()) {
    const colon = pair.indexOf(':')
    const kid = pair.slice(0, colon).trim()
    const secret = Buffer.from(pair.slice(colon + 1).trim(), 'utf8')
    const place = `entry ${index + 1}`
    // The kid is not shown either: with the colon forgotten or misplaced it may be the secret.
    if (colon < 0 || !/^[A-Za-z0-9_-]{1,32}$/.test(kid)) faults.push(`${place} is not of the form kid:secret`)
    else if (keys.has(kid)) faults.push(`${place} repeats an earlier kid`)
    else if (secret.length < tokenSecretBytesMin) {
      faults.push(`the secret of ${place} has ${secret.length} bytes, fewer than ${tokenSecretBytesMin}`)
    } else keys.set(kid, createSecretKey(secret))
  }
  if (faults.length > 0) return {faults}
  return {keys: [...keys].map(([kid, secret]) => ({kid, secret}))}
}

/** Reads 32 bytes from 64 hex digits, base64 or base64url; null when it is none of them. */
export function parseMasterKey(text: string): KeyObject | null {
  const bytes = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : fromBase64(text)
  return bytes?.length === masterKeyBytes ? createSecretKey(bytes) : null
}

function fromBase64(text: string): Buffer | null {
  // Node skips characters that are no base64; a mistyped key must not quietly become another one.
  return /^[A-Za-z0-9+/_-]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : null
}

const placeholders =
  /change.?(me|this|it)|your.?(own.?)?(secret|key)|(secret|super.?secret|jwt.?secret).?key|placeholder|example|insert.?here|password|replace.?(me|this)|xxxxxx/i

/** Whether a key is one that people leave in by mistake: a placeholder, one character or a short run repeated, a sequence. */
export function isPlaceholder(key: KeyObject): boolean {
  const bytes = key.export()
  if (placeholders.test(bytes.toString('latin1'))) return true
  if (new Set(bytes).size < 8) return true
  for (let period = 1; period <= bytes.length / 2; period++) {
    if (bytes.every((byte, index) => index < period || byte === bytes[index - period])) return true
  }
  let steps = 0
  for (let index = 2; index < bytes.length; index++) {
    if (byteAt(bytes, index) - byteAt(bytes, index - 1) === byteAt(bytes, index - 1) - byteAt(bytes, index - 2)) steps++
  }
  return steps > bytes.length / 2
}

function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0
}

const fileName = 'development-secrets.json'

/**
 * The secrets of a development node: made once, kept in `<dataFolder>/development-secrets.json` (mode 0600), the same
 * after every restart. Two nodes that start at once agree on one file. Throws, naming the file, when it is damaged.
 */
export function loadOrCreateDevelopmentSecrets(dataFolder: string, randomBytes: RandomBytes): Secrets {
  const path = join(dataFolder, fileName)
  return readSecrets(path) ?? createSecrets(path, dataFolder, randomBytes)
}

function createSecrets(path: string, dataFolder: string, randomBytes: RandomBytes): Secrets {
  mkdirSync(dataFolder, {recursive: true, mode: 0o700})
  const kept = {
    about: 'Made for development. In production set HOURHAND_TOKEN_SECRETS and HOURHAND_MASTER_KEY instead.',
    tokenSecrets: `development:${Buffer.from(randomBytes(32)).toString('base64url')}`,
    masterKey: Buffer.from(randomBytes(masterKeyBytes)).toString('base64url'),
  }
  // Written beside and then linked: the file is there whole or not at all, and never replaces one made meanwhile.
  const draft = `${path}.${Buffer.from(randomBytes(8)).toString('hex')}`
  writeFileSync(draft, `${JSON.stringify(kept, null, 2)}\n`, {mode: 0o600, flag: 'wx', flush: true})
  try {
    linkSync(draft, path)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  } finally {
    rmSync(draft)
  }
  const secrets = readSecrets(path)
  if (secrets === null) throw new Error(`${path} vanished while it was being written`)
  return secrets
}

function readSecrets(path: string): Secrets | null {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
  chmodSync(path, 0o600)
  const secrets = parseSecrets(text)
  if (secrets === null) {
    throw new Error(
      `${path} is damaged. Restore it from a backup, or delete it to make new secrets: sign-ins end, and personal ` +
        'data stored under the old ones can no longer be read.',
    )
  }
  return secrets
}

function parseSecrets(text: string): Secrets | null {
  let kept: {readonly tokenSecrets?: unknown; readonly masterKey?: unknown} | null
  try {
    kept = JSON.parse(text) as typeof kept
  } catch {
    // The parser's message quotes the text, and the text is secret.
    return null
  }
  if (typeof kept?.tokenSecrets !== 'string' || typeof kept.masterKey !== 'string') return null
  const tokens = parseTokenKeys(kept.tokenSecrets)
  const masterKey = parseMasterKey(kept.masterKey)
  return 'keys' in tokens && masterKey !== null ? {tokenKeys: tokens.keys, masterKey} : null
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
