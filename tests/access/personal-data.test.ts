import {createSecretKey, randomBytes} from 'node:crypto'
import {describe, expect, test} from 'vitest'
import {
  decryptField,
  encryptField,
  keyIdOf,
  newUserKey,
  PersonalDataError,
  unwrapKey,
  wrapKey,
  type FieldPlace,
} from '../../src/access/personal-data.ts'
import {idOf} from '../../src/kernel/ids.ts'

const masterKey = createSecretKey(randomBytes(32))
const alice = idOf<'User'>('alice')
const bob = idOf<'User'>('bob')
const place = (change: Partial<FieldPlace> = {}): FieldPlace => ({
  ...newUserKey(randomBytes),
  stream: 'user-alice',
  field: 'email',
  ...change,
})

/** The fault with which something fails to open, or what it opened to. */
function outcomeOf(open: () => unknown): unknown {
  try {
    return open()
  } catch (error) {
    if (error instanceof PersonalDataError) return error.fault
    throw error
  }
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
/** Every text that differs from this one in one place: each letter replaced, and each dropped. */
function oneLetterOff(text: string): readonly string[] {
  const letters = text.split('')
  const next = (letter: string) => alphabet[(alphabet.indexOf(letter) + 1) % 64] ?? ''
  return letters.flatMap((letter, index) => {
    const [before, after] = [text.slice(0, index), text.slice(index + 1)]
    return [`${before}${next(letter)}${after}`, `${before}${after}`]
  })
}

describe('a personal field', () => {
  test.each(['alice@example.org', '', 'Zoë 👩‍🚀 \u0000 "quoted"', 'x'.repeat(65_536)])('opens to %j again', clear => {
    const at = place()
    expect(decryptField(at, encryptField(at, clear, randomBytes))).toBe(clear)
  })

  test('shows neither its text nor its key, and names the key that opens it', () => {
    const at = place()
    const sealed = encryptField(at, 'alice@example.org', randomBytes)
    expect(sealed).toMatch(/^p1\.[0-9a-f]{24}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]+$/)
    expect(Buffer.from(sealed.split('.')[3] ?? '', 'base64url').toString('latin1')).not.toContain('alice')
    expect(keyIdOf(sealed)).toBe(at.keyId)
    expect(keyIdOf('alice@example.org')).toBeNull()
  })

  test('is never written twice alike', () => {
    const at = place()
    expect(encryptField(at, 'same', randomBytes)).not.toBe(encryptField(at, 'same', randomBytes))
  })

  test('is a function of its random bytes', () => {
    const zeros = (count: number) => Buffer.alloc(count)
    const at = place(newUserKey(zeros))
    expect(encryptField(at, 'same', zeros)).toBe(encryptField(at, 'same', zeros))
  })

  test.each([{stream: 'user-bob'}, {field: 'name'}, {stream: 'user-alice","email', field: ''}])(
    'moved to %o does not open',
    change => {
      const at = place()
      const sealed = encryptField(at, 'alice@example.org', randomBytes)
      expect(outcomeOf(() => decryptField({...at, ...change}, sealed))).toBe('NotAuthentic')
    },
  )

  test('does not open with another key, under its own name or that of the first', () => {
    const at = place()
    const sealed = encryptField(at, 'alice@example.org', randomBytes)
    const other = newUserKey(randomBytes)
    expect(outcomeOf(() => decryptField({...at, ...other}, sealed))).toBe('OtherKey')
    expect(outcomeOf(() => decryptField({...at, key: other.key}, sealed))).toBe('NotAuthentic')
    const renamed = sealed.replace(at.keyId, other.keyId)
    expect(outcomeOf(() => decryptField({...at, keyId: other.keyId}, renamed))).toBe('NotAuthentic')
  })

  test('with any one letter changed or dropped does not open', () => {
    const at = place()
    const sealed = encryptField(at, 'alice@example.org', randomBytes)
    for (const changed of oneLetterOff(sealed)) {
      expect(outcomeOf(() => decryptField(at, changed))).toMatch(/^(Malformed|UnknownVersion|OtherKey|NotAuthentic)$/)
    }
  })

  test('cut short, even to a shorter tag, does not open', () => {
    const at = place()
    const [version, keyId, nonce, box = ''] = encryptField(at, 'alice', randomBytes).split('.')
    const bytes = Buffer.from(box, 'base64url')
    for (let length = 0; length < bytes.length; length++) {
      const cut = `${version}.${keyId}.${nonce}.${bytes.subarray(0, length).toString('base64url')}`
      expect(outcomeOf(() => decryptField(at, cut))).toMatch(/^(Malformed|NotAuthentic)$/)
    }
  })

  test.each([
    ['', 'Malformed'],
    ['alice@example.org', 'Malformed'],
    ['p2.abc.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA', 'UnknownVersion'],
    ['k1.abc.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA', 'Malformed'],
    ['p1.abc.AAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA', 'Malformed'],
    ['p1.abc.AAAAAAAAAAAAAAAA.AAAA', 'Malformed'],
    ['p1.abc.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAB', 'Malformed'],
    ['p1.abc.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA==', 'Malformed'],
  ])('%o is refused as %s', (text, fault) => {
    expect(outcomeOf(() => decryptField(place({keyId: 'abc'}), text))).toBe(fault)
  })

  test('refuses text that would not come back the same, and text without bound', () => {
    expect(() => encryptField(place(), 'broken \ud800', randomBytes)).toThrow(RangeError)
    expect(() => encryptField(place(), 'x'.repeat(65_537), randomBytes)).toThrow(RangeError)
  })

  test('refuses a source of randomness that gives too little', () => {
    expect(() => encryptField(place(), 'text', () => Buffer.alloc(4))).toThrow(RangeError)
  })

  test('that does not open says so without its text or key', () => {
    const at = place()
    const sealed = encryptField(at, 'alice@example.org', randomBytes)
    expect.assertions(3)
    try {
      decryptField({...at, stream: 'user-bob'}, sealed)
    } catch (error) {
      const printed = error instanceof Error ? `${error.stack}${JSON.stringify(error)}` : ''
      expect(printed).toContain('personal field email')
      expect(printed).not.toContain(sealed)
      expect(printed).not.toContain(at.key.export().toString('hex'))
    }
  })
})

describe('a user key', () => {
  test('is wrapped and unwrapped for its user', () => {
    const userKey = newUserKey(randomBytes)
    const wrapped = wrapKey(masterKey, userKey, alice, randomBytes)
    const opened = unwrapKey(masterKey, wrapped, alice)
    expect(opened.keyId).toBe(userKey.keyId)
    expect(opened.key.equals(userKey.key)).toBe(true)
    expect(keyIdOf(wrapped)).toBe(userKey.keyId)
  })

  test('opens what was encrypted before it was wrapped', () => {
    const userKey = newUserKey(randomBytes)
    const sealed = encryptField(place(userKey), 'alice@example.org', randomBytes)
    const opened = unwrapKey(masterKey, wrapKey(masterKey, userKey, alice, randomBytes), alice)
    expect(decryptField(place(opened), sealed)).toBe('alice@example.org')
  })

  test('does not open for another user or under another master key', () => {
    const wrapped = wrapKey(masterKey, newUserKey(randomBytes), alice, randomBytes)
    expect(outcomeOf(() => unwrapKey(masterKey, wrapped, bob))).toBe('NotAuthentic')
    expect(outcomeOf(() => unwrapKey(createSecretKey(randomBytes(32)), wrapped, alice))).toBe('NotAuthentic')
  })

  test('with any one letter changed or dropped does not open', () => {
    const wrapped = wrapKey(masterKey, newUserKey(randomBytes), alice, randomBytes)
    for (const changed of oneLetterOff(wrapped)) {
      expect(outcomeOf(() => unwrapKey(masterKey, changed, alice))).toMatch(/^(Malformed|UnknownVersion|NotAuthentic)$/)
    }
  })

  test('is never mistaken for a field, even one encrypted under the master key itself', () => {
    const at = {key: masterKey, keyId: 'abc', stream: 'key', field: 'alice'}
    const field = encryptField(at, 'x'.repeat(32), randomBytes)
    expect(outcomeOf(() => unwrapKey(masterKey, field, alice))).toBe('Malformed')
    expect(outcomeOf(() => unwrapKey(masterKey, field.replace('p1', 'k1'), alice))).toBe('NotAuthentic')
  })

  test('needs a master key of 32 bytes', () => {
    const short = createSecretKey(randomBytes(16))
    expect(() => wrapKey(short, newUserKey(randomBytes), alice, randomBytes)).toThrow(RangeError)
  })
})
