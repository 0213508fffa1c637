import {randomBytes} from 'node:crypto'
import {stat} from 'node:fs/promises'
import {describe, expect, onTestFinished, test} from 'vitest'
import {programHome, type Environment, type ProgramHome} from '../support/program.ts'
import {apiOf, redeem} from './api.ts'

const freshHome = async (): Promise<ProgramHome> => {
  const home = await programHome()
  onTestFinished(() => home.close())
  return home
}

const secret = (): string => randomBytes(48).toString('base64')
const secrets = (): Environment => ({
  HOURHAND_TOKEN_SECRETS: `main:${secret()}`,
  HOURHAND_MASTER_KEY: randomBytes(32).toString('base64'),
})
const production = (): Environment => ({NODE_ENV: 'production', HOURHAND_HOST: '127.0.0.1', ...secrets()})

/** Starts with faults in the environment: the lines it printed, after proving that nothing was begun. */
async function refused(environment: Environment): Promise<readonly string[]> {
  const home = await freshHome()
  const program = home.launch(environment)
  expect(await program.exited).toEqual({code: 1, signal: null})
  await expect(stat(home.dataFolder)).rejects.toThrow('ENOENT')
  return program.printed().trimEnd().split('\n')
}

const variablesOf = (lines: readonly string[]) => lines.flatMap(line => /^- (\w+) /.exec(line)?.[1] ?? [])

describe('a configuration with faults ends the start with 1 and', () => {
  test('all of them at once, without a value and without a stack', async () => {
    const values = {
      NODE_ENV: 'prodution-Xq7',
      HOURHAND_PORT: '70000',
      HOURHAND_PUBLIC_URL: 'hours-Xq7.example.org',
      EVENTSTORE_URL: 'http://admin:Xq7-hunter2@db:2113',
      HOURHAND_TOKEN_SECRETS: 'main:Xq7-too-short',
      HOURHAND_MASTER_KEY: 'Xq7-no-key',
      DISCORD_TOKEN: 'Xq7 with blanks',
      HOURHAND_WARMUP_MINUTES: '-1',
    }
    const lines = await refused(values)
    expect(lines[0]).toBe('The configuration has 8 faults:')
    expect(variablesOf(lines)).toEqual(Object.keys(values))
    const text = lines.join('\n')
    expect(text).not.toMatch(/Xq7|70000|hunter2/)
    expect(text).not.toMatch(/^\s+at /m)
  })

  test('both secrets, when production has none', async () => {
    expect(variablesOf(await refused({NODE_ENV: 'production'}))).toEqual([
      'HOURHAND_TOKEN_SECRETS',
      'HOURHAND_MASTER_KEY',
    ])
  })

  test.each([
    ['a placeholder', {HOURHAND_TOKEN_SECRETS: 'main:change-me-change-me-change-me-change-me'}],
    ['one letter repeated', {HOURHAND_TOKEN_SECRETS: `main:${'a'.repeat(48)}`}],
    ['a token secret of 31 bytes', {HOURHAND_TOKEN_SECRETS: `main:${secret().slice(0, 31)}`}],
    ['a master key of zeros', {HOURHAND_MASTER_KEY: '00'.repeat(32)}],
    ['a store far away without TLS', {EVENTSTORE_URL: 'esdb://db.example.org:2113?tls=false'}],
  ])('in production %s, named by its variable alone', async (_, wrong) => {
    const lines = await refused({...production(), ...wrong})
    expect(variablesOf(lines)).toEqual(Object.keys(wrong))
    for (const value of Object.values(wrong)) expect(lines.join('\n')).not.toContain(value.slice(5))
  })
})

test('a variable that is not known is a warning that names the closest one, and the start goes on', async () => {
  const home = await freshHome()
  const program = await home.start({HOURHAND_PROT: '4000'})
  expect(program.printed()).toMatch(/^warning: HOURHAND_PROT is unknown and ignored. Did you mean HOURHAND_PORT\?\n/)
})

describe('in production, the program', () => {
  test('shows no link, no GraphiQL, no schema and no seeds; owner-link lets the very first owner in', async () => {
    const home = await freshHome()
    const environment = production()
    const secretValues = [environment['HOURHAND_TOKEN_SECRETS']?.slice(5), environment['HOURHAND_MASTER_KEY']]
    const link = home.launch(environment, 'owner-link')
    expect(await link.exited).toEqual({code: 0, signal: null})
    const [, token = ''] = /\/sign-in#(\S+)\n/.exec(link.printed()) ?? []

    const program = await home.start(environment)
    expect(program.printed()).not.toContain('/sign-in#')
    const page = await fetch(`${program.url}/graphql`, {headers: {accept: 'text/html'}})
    expect(await page.text()).not.toMatch(/graphiql/i)
    const nobody = apiOf(program, null)
    expect((await nobody.send('{ __schema { types { name } } }')).body.data).toBeUndefined()
    expect(await nobody.ask('{ services { id } }')).toEqual({services: []})

    const answer = await redeem(program, token)
    expect(answer.status).toBe(200)
    const {accessToken, userId} = (await answer.json()) as {accessToken: string; userId: string}
    const owner = apiOf(program, {userId, token: accessToken})
    expect(await owner.ask('{ viewer { roles } }')).toEqual({viewer: {roles: ['CUSTOMER', 'OPERATOR', 'OWNER']}})
    expect((await redeem(program, token)).status).toBe(401)
    for (const hidden of [token, accessToken, ...secretValues]) {
      expect(program.printed()).not.toContain(hidden)
    }
  })

  test('takes no link that was signed with other secrets', async () => {
    const home = await freshHome()
    const foreign = home.launch(production(), 'owner-link')
    await foreign.exited
    const [, token = ''] = /\/sign-in#(\S+)\n/.exec(foreign.printed()) ?? []
    expect(token).not.toBe('')
    expect((await redeem(await home.start(production()), token)).status).toBe(401)
  })
})
