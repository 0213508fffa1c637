import {randomBytes} from 'node:crypto'
import {chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {afterEach, beforeEach, expect, test} from 'vitest'
import {loadOrCreateDevelopmentSecrets, type Secrets} from '../../src/access/secrets.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hourhand-secrets-'))
})
afterEach(() => {
  rmSync(folder, {recursive: true})
})

const fileIn = (data: string) => join(data, 'development-secrets.json')
const clear = ({tokenKeys, masterKey}: Secrets) => ({
  tokenKeys: tokenKeys.map(({kid, secret}) => [kid, secret.export().toString('hex')]),
  masterKey: masterKey.export().toString('hex'),
})

test('development secrets are made once and are the same after every restart', () => {
  const data = join(folder, 'not', 'yet', 'there')
  const made = loadOrCreateDevelopmentSecrets(data, randomBytes)
  const again = loadOrCreateDevelopmentSecrets(data, () => {
    throw new Error('no more randomness is needed')
  })
  expect(clear(again)).toEqual(clear(made))
  expect(made.tokenKeys[0]?.secret.symmetricKeySize).toBeGreaterThanOrEqual(32)
  expect(made.masterKey.symmetricKeySize).toBe(32)
})

test('development secrets are readable by their owner alone, even after somebody widened the mode', () => {
  loadOrCreateDevelopmentSecrets(folder, randomBytes)
  expect(statSync(fileIn(folder)).mode & 0o777).toBe(0o600)
  chmodSync(fileIn(folder), 0o644)
  loadOrCreateDevelopmentSecrets(folder, randomBytes)
  expect(statSync(fileIn(folder)).mode & 0o777).toBe(0o600)
})

test('two nodes that start at once agree on one file and leave no other', () => {
  let other: Secrets | null = null
  const mine = loadOrCreateDevelopmentSecrets(folder, count => {
    // The other node overtakes between this one finding no file and writing its own.
    other ??= loadOrCreateDevelopmentSecrets(folder, randomBytes)
    return randomBytes(count)
  })
  expect(other).not.toBeNull()
  expect(other === null ? null : clear(other)).toEqual(clear(mine))
  expect(readdirSync(folder)).toEqual(['development-secrets.json'])
})

test.each(['', '{', 'null', '[]', '{"tokenSecrets":"a:short","masterKey":""}', '{"tokenSecrets":1}'])(
  'a damaged file (%s) is named, never overwritten and never quoted',
  damaged => {
    const canary = 'canary-of-the-secret-file'
    writeFileSync(fileIn(folder), `${damaged}${canary}`)
    const load = () => loadOrCreateDevelopmentSecrets(folder, randomBytes)
    expect(load).toThrow(/development-secrets\.json is damaged/)
    expect(load).not.toThrow(new RegExp(canary))
    expect(readFileSync(fileIn(folder), 'utf8')).toBe(`${damaged}${canary}`)
  },
)
