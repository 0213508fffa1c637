import {createHmac, createSecretKey, generateKeyPairSync, sign as signBytes} from 'node:crypto'
import jwt from 'jsonwebtoken'
import {describe, expect, test} from 'vitest'
import {createTokens, type TokenRefusal} from '../../src/access/tokens.ts'
import {idOf, type UserId} from '../../src/kernel/ids.ts'
import {instantFromMs} from '../../src/kernel/time.ts'

const userId = idOf<'User'>('user-1') satisfies UserId
const secretText = 'a test secret of more than 32 bytes: 7Yx2kQ'
const oldSecretText = 'an older test secret of 32+ bytes: 9Zw4pL'
const keyOf = (text: string) => createSecretKey(Buffer.from(text))
const start = Date.parse('2026-11-21T10:00:00.400Z')
const startSeconds = Math.floor(start / 1000)

function setUp({
  keys = [{kid: 'new', secret: keyOf(secretText)}],
  issuer = 'hourhand',
  audience = 'hourhand-api',
} = {}) {
  let ms = start
  let made = 0
  return {
    tokens: createTokens({
      keys,
      issuer,
      audience,
      clock: {now: () => instantFromMs(ms)},
      ids: {uuid: () => `token-${++made}`},
    }),
    wait: (seconds: number) => {
      ms += seconds * 1000
    },
  }
}

const goodHeader = {alg: 'HS256', typ: 'JWT', kid: 'new'}
const goodClaims = {
  iss: 'hourhand',
  aud: 'hourhand-api',
  sub: userId,
  jti: 'token-1',
  use: 'access',
  iat: startSeconds,
  exp: startSeconds + 900,
  roles: ['customer'],
}

const encode = (part: unknown) =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')

/** A token as an attacker who somehow has the secret would make it: only the form is wrong. */
function craft(header: unknown, claims: unknown, secret = secretText): string {
  const signed = `${encode(header)}.${encode(claims)}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

const refused = (reason: TokenRefusal) => ({ok: false, reason})

describe('an access token', () => {
  test('says who, with which roles, until when', () => {
    const {tokens} = setUp()
    const token = tokens.issueAccess({userId, roles: ['customer', 'operator'], ttlSeconds: 600})
    expect(tokens.verifyAccess(token)).toEqual({
      ok: true,
      userId,
      roles: ['customer', 'operator'],
      issuedAt: '2026-11-21T10:00:00.000Z',
      expiresAt: '2026-11-21T10:10:00.000Z',
      tokenId: 'token-1',
    })
  })

  test('holds exactly our header and claims, and runs out after 15 minutes', () => {
    const {tokens} = setUp()
    const decoded = jwt.decode(tokens.issueAccess({userId, roles: ['customer']}), {complete: true})
    expect(decoded?.header).toEqual(goodHeader)
    expect(decoded?.payload).toEqual(goodClaims)
  })

  test('hand-made by these tests passes when nothing about it is wrong', () => {
    expect(setUp().tokens.verifyAccess(craft(goodHeader, goodClaims))).toMatchObject({ok: true, userId})
  })

  test('differs from every other by its id', () => {
    const {tokens} = setUp()
    const grant = {userId, roles: []}
    expect(tokens.issueAccess(grant)).not.toBe(tokens.issueAccess(grant))
  })

  test('may have no roles, and takes claims that a newer node adds', () => {
    const {tokens} = setUp()
    expect(tokens.verifyAccess(tokens.issueAccess({userId, roles: []}))).toMatchObject({roles: []})
    expect(tokens.verifyAccess(craft(goodHeader, {...goodClaims, session: 's-1'}))).toMatchObject({ok: true})
  })

  test.each([0, -1, 0.5, 86_401, Number.NaN])('cannot be issued for %d seconds', ttlSeconds => {
    expect(() => setUp().tokens.issueAccess({userId, roles: [], ttlSeconds})).toThrow(RangeError)
  })
})

describe('A1–A2: the algorithm', () => {
  test.each(['none', 'None', 'NONE', 'nOnE', ''])('%o is refused, signed or not', alg => {
    const {tokens} = setUp()
    const unsigned = `${encode({...goodHeader, alg})}.${encode(goodClaims)}.`
    expect(tokens.verifyAccess(unsigned)).toEqual(refused('Malformed'))
    expect(tokens.verifyAccess(craft({...goodHeader, alg}, goodClaims))).toEqual(refused('ForeignHeader'))
  })

  test.each(['HS384', 'HS512'] as const)('%s is refused even with the right secret', algorithm => {
    const token = jwt.sign(goodClaims, secretText, {algorithm, keyid: 'new'})
    expect(setUp().tokens.verifyAccess(token)).toEqual(refused('ForeignHeader'))
  })

  test.each(['RS256', 'PS256', 'ES256'])('%s is refused', alg => {
    expect(setUp().tokens.verifyAccess(craft({...goodHeader, alg}, goodClaims))).toEqual(refused('ForeignHeader'))
  })

  test('is not confused by a public key used as the secret, or by a key pair of the sender', () => {
    const {privateKey, publicKey} = generateKeyPairSync('rsa', {modulusLength: 2048})
    const pem = publicKey.export({type: 'spki', format: 'pem'}).toString()
    const {tokens} = setUp({keys: [{kid: 'new', secret: keyOf(secretText)}]})
    expect(tokens.verifyAccess(craft(goodHeader, goodClaims, pem))).toEqual(refused('BadSignature'))
    const signed = `${encode(goodHeader)}.${encode(goodClaims)}`
    const rsa = signBytes('sha256', Buffer.from(signed), privateKey).toString('base64url')
    expect(tokens.verifyAccess(`${signed}.${rsa}`)).toEqual(refused('BadSignature'))
  })

  test.each([undefined, null, 1, ['HS256'], {}])('given as %o is refused', alg => {
    expect(setUp().tokens.verifyAccess(craft({...goodHeader, alg}, goodClaims))).toEqual(refused('ForeignHeader'))
  })
})

describe('A3: the kid', () => {
  test.each([
    '../../../../dev/null',
    "new' UNION SELECT 'x",
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'NEW',
    'new ',
    '',
    '0',
  ])('%o finds no key', kid => {
    const {tokens} = setUp()
    expect(tokens.verifyAccess(craft({...goodHeader, kid}, goodClaims))).toEqual(refused('UnknownKey'))
    expect(tokens.verifyAccess(craft({...goodHeader, kid}, goodClaims, ''))).toEqual(refused('UnknownKey'))
  })

  test.each([undefined, null, 0, ['new'], {kid: 'new'}])('given as %o is refused', kid => {
    expect(setUp().tokens.verifyAccess(craft({...goodHeader, kid}, goodClaims))).toEqual(refused('ForeignHeader'))
  })

  test('cannot be set through the prototype of the header', () => {
    const header = '{"alg":"HS256","typ":"JWT","__proto__":{"kid":"new"}}'
    expect(setUp().tokens.verifyAccess(craft(header, goodClaims))).toEqual(refused('ForeignHeader'))
  })

  test('must be the key that signed', () => {
    const keys = [
      {kid: 'new', secret: keyOf(secretText)},
      {kid: 'old', secret: keyOf(oldSecretText)},
    ]
    const token = craft({...goodHeader, kid: 'old'}, goodClaims, secretText)
    expect(setUp({keys}).tokens.verifyAccess(token)).toEqual(refused('BadSignature'))
  })
})

describe('A4–A5: header fields of the sender’s choice', () => {
  test.each([
    {jku: 'https://evil.example/keys.json'},
    {x5u: 'https://evil.example/cert.pem'},
    {x5c: ['MIIB']},
    {x5t: 'abc'},
    {jwk: {kty: 'oct', k: Buffer.from(secretText).toString('base64url')}},
    {crit: ['exp']},
    {crit: ['b64'], b64: false},
    {crit: ['unknown'], unknown: 1},
    {crit: []},
    {b64: false},
    {cty: 'JWT'},
    {zip: 'DEF'},
    {enc: 'A256GCM'},
    {typ: 'at+jwt'},
    {typ: 'jwt'},
    {typ: 'JWE'},
    {typ: undefined},
  ])('%o is refused', fields => {
    const token = craft({...goodHeader, ...fields}, goodClaims)
    expect(setUp().tokens.verifyAccess(token)).toEqual(refused('ForeignHeader'))
  })
})

describe('A6: claims', () => {
  test.each(['exp', 'aud', 'iss', 'sub', 'iat', 'jti', 'use', 'roles'])('a token without %s is refused', name => {
    const claims = Object.fromEntries(Object.entries(goodClaims).filter(([key]) => key !== name))
    expect(setUp().tokens.verifyAccess(craft(goodHeader, claims))).toEqual(refused('BadClaims'))
  })

  test.each([
    {aud: 'another-api'},
    {aud: ['hourhand-api']},
    {aud: ['hourhand-api', 'another-api']},
    {iss: 'evil'},
    {iss: ['hourhand']},
    {sub: ''},
    {sub: '../user-2'},
    {sub: 1},
    {exp: '9999999999'},
    {exp: null},
    {exp: startSeconds + 0.5},
    {exp: -1},
    {exp: 1e15},
    {iat: '0'},
    {iat: null},
    {nbf: 'now'},
    {nbf: null},
    {jti: ''},
    {use: 1},
    {roles: 'owner'},
    {roles: [1]},
    {roles: Array.from({length: 33}, () => 'customer')},
    {roles: {length: 1, 0: 'owner'}},
  ])('%o is refused', change => {
    const token = craft(goodHeader, {...goodClaims, ...change})
    expect(setUp().tokens.verifyAccess(token)).toEqual(refused('BadClaims'))
  })

  test('cannot be set through the prototype of the payload', () => {
    const {roles: _, ...rest} = goodClaims
    const payload = JSON.stringify(rest).replace(/}$/, ',"__proto__":{"roles":["owner"]}}')
    expect(setUp().tokens.verifyAccess(craft(goodHeader, payload))).toEqual(refused('BadClaims'))
    expect('roles' in {}).toBe(false)
  })

  test.each(['[]', '"text"', 'null', '1', 'true', '{', '', '{"a":1}{"b":2}'])('payload %s is malformed', payload => {
    expect(setUp().tokens.verifyAccess(craft(goodHeader, payload))).toEqual(refused('Malformed'))
    expect(setUp().tokens.verifyAccess(craft(payload, goodClaims))).toMatchObject({ok: false})
  })

  test('of another installation are refused', () => {
    const other = setUp({issuer: 'other'}).tokens.issueAccess({userId, roles: []})
    expect(setUp().tokens.verifyAccess(other)).toEqual(refused('BadClaims'))
  })
})

describe('A7: times', () => {
  test('a token is good until 60 seconds after it expires, for clocks that differ, and not a second longer', () => {
    const {tokens, wait} = setUp()
    const token = tokens.issueAccess({userId, roles: [], ttlSeconds: 600})
    wait(659)
    expect(tokens.verifyAccess(token)).toMatchObject({ok: true})
    wait(1)
    expect(tokens.verifyAccess(token)).toEqual(refused('Expired'))
  })

  test.each(['iat', 'nbf'])('%s may be 60 seconds ahead and no more', claim => {
    const {tokens} = setUp()
    const at = (seconds: number) => craft(goodHeader, {...goodClaims, [claim]: startSeconds + seconds})
    expect(tokens.verifyAccess(at(60))).toMatchObject({ok: true})
    expect(tokens.verifyAccess(at(61))).toEqual(refused('FromTheFuture'))
    expect(tokens.verifyAccess(at(86_400))).toEqual(refused('FromTheFuture'))
  })

  test('are those of the clock that was handed in, even at its very start', () => {
    const clock = {now: () => instantFromMs(0)}
    const keys = [{kid: 'new', secret: keyOf(secretText)}]
    const tokens = createTokens({keys, issuer: 'a', audience: 'b', clock, ids: {uuid: () => 'id'}})
    const verified = tokens.verifyAccess(tokens.issueAccess({userId, roles: [], ttlSeconds: 60}))
    expect(verified).toMatchObject({ok: true, expiresAt: '1970-01-01T00:01:01.000Z'})
    expect(tokens.verifyAccess(setUp({issuer: 'a', audience: 'b'}).tokens.issueAccess({userId, roles: []}))).toEqual(
      refused('FromTheFuture'),
    )
  })
})

describe('A8: the use', () => {
  test.each(['refresh', 'sign-in', 'mfa', 'ACCESS', 'access '])('%o is refused as access', use => {
    expect(setUp().tokens.verifyAccess(craft(goodHeader, {...goodClaims, use}))).toEqual(refused('WrongUse'))
  })

  test('sign-in and access tokens never stand in for each other', () => {
    const {tokens} = setUp()
    const {token} = tokens.issueSignIn({userId, ttlSeconds: 600})
    expect(tokens.verifyAccess(token)).toEqual(refused('WrongUse'))
    expect(tokens.verifySignIn(tokens.issueAccess({userId, roles: []}))).toEqual(refused('WrongUse'))
  })
})

describe('A9: the spelling', () => {
  const token = craft(goodHeader, goodClaims)
  const [header = '', payload = '', signature = ''] = token.split('.')

  test.each([
    ['padded', `${token}=`],
    ['padded in the payload', `${header}.${payload}==.${signature}`],
    [
      'in the other base64 alphabet',
      craft({...goodHeader, kid: 'new'}, {...goodClaims, x: '???>>>~~~'}).replace(/_/, '/'),
    ],
    ['with a space', `${header}.${payload} .${signature}`],
    ['with a line break', `${token}\n`],
    ['with two parts', `${header}.${payload}`],
    ['with four parts', `${token}.${signature}`],
    ['with an empty part', `${header}..${signature}`],
    ['with five parts, as an encrypted one', `${header}.${payload}.${signature}.a.b`],
    ['empty', ''],
    ['only dots', '..'],
  ])('%s is malformed', (_, text) => {
    expect(setUp().tokens.verifyAccess(text)).toEqual(refused('Malformed'))
  })

  test('with stray bits in the last letter of the signature is malformed, whichever they are', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const index = alphabet.indexOf(signature.at(-1) ?? '')
    const {tokens} = setUp()
    for (const bits of [1, 2, 3]) {
      const twin = `${token.slice(0, -1)}${alphabet[index ^ bits]}`
      expect(Buffer.from(twin, 'base64url')).toEqual(Buffer.from(token, 'base64url'))
      expect(tokens.verifyAccess(twin)).toEqual(refused('Malformed'))
    }
  })

  test.each([undefined, null, 1, {}, [token], Buffer.from(token)])('given as %o is malformed', value => {
    expect(setUp().tokens.verifyAccess(value)).toEqual(refused('Malformed'))
  })

  test('with any one letter changed is refused', () => {
    const {tokens} = setUp()
    for (let index = 0; index < token.length; index++) {
      const changed = `${token.slice(0, index)}${token[index] === 'A' ? 'B' : 'A'}${token.slice(index + 1)}`
      expect(tokens.verifyAccess(changed)).toMatchObject({ok: false})
    }
  })
})

describe('A10: keys and size', () => {
  const both = [
    {kid: 'new', secret: keyOf(secretText)},
    {kid: 'old', secret: keyOf(oldSecretText)},
  ]

  test('a token of the older key passes while that key is kept, and not after', () => {
    const token = setUp({keys: both.slice(1)}).tokens.issueAccess({userId, roles: []})
    expect(setUp({keys: both}).tokens.verifyAccess(token)).toMatchObject({ok: true})
    expect(setUp({keys: both.slice(0, 1)}).tokens.verifyAccess(token)).toEqual(refused('UnknownKey'))
  })

  test('the first key signs', () => {
    const token = setUp({keys: both}).tokens.issueAccess({userId, roles: []})
    expect(jwt.decode(token, {complete: true})?.header.kid).toBe('new')
  })

  test('a key under another name or another key under the same name is refused', () => {
    const {tokens} = setUp()
    expect(tokens.verifyAccess(craft(goodHeader, goodClaims, oldSecretText))).toEqual(refused('BadSignature'))
  })

  test('there must be keys, each of 32 bytes', () => {
    expect(() => setUp({keys: []})).toThrow(RangeError)
    expect(() => setUp({keys: [{kid: 'new', secret: keyOf('x'.repeat(31))}]})).toThrow(RangeError)
  })

  test('a token of more than 8 KB is refused however good it is', () => {
    const {tokens} = setUp()
    const ofLength = (filler: number) => craft(goodHeader, {...goodClaims, filler: 'x'.repeat(filler)})
    const longest = Array.from({length: 6000}, (_, index) => index).findLast(filler => ofLength(filler).length <= 8192)
    expect(tokens.verifyAccess(ofLength(longest ?? 0))).toMatchObject({ok: true})
    expect(tokens.verifyAccess(ofLength((longest ?? 0) + 3))).toEqual(refused('Malformed'))
    expect(tokens.verifyAccess('x'.repeat(50_000_000))).toEqual(refused('Malformed'))
  })
})

describe('a sign-in token', () => {
  test('names the user and itself, so that its use can be recorded', () => {
    const {tokens} = setUp()
    const {token, tokenId, expiresAt} = tokens.issueSignIn({userId, ttlSeconds: 3600})
    expect(expiresAt).toBe('2026-11-21T11:00:00.000Z')
    expect(tokens.verifySignIn(token)).toEqual({ok: true, userId, tokenId, expiresAt})
  })

  test('runs out and is bound to its key like any other', () => {
    const {tokens, wait} = setUp()
    const {token} = tokens.issueSignIn({userId, ttlSeconds: 600})
    expect(setUp({keys: [{kid: 'new', secret: keyOf(oldSecretText)}]}).tokens.verifySignIn(token)).toEqual(
      refused('BadSignature'),
    )
    wait(660)
    expect(tokens.verifySignIn(token)).toEqual(refused('Expired'))
  })

  test('gives no roles', () => {
    const {tokens} = setUp()
    const {token} = tokens.issueSignIn({userId, ttlSeconds: 600})
    expect(jwt.decode(token)).not.toHaveProperty('roles')
  })
})
