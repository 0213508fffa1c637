import {randomBytes} from 'node:crypto'
import {readFileSync} from 'node:fs'
import {inspect} from 'node:util'
import {describe, expect, test} from 'vitest'
import {ConfigError, loadConfig, variableNames} from '../src/config.ts'

type Env = Record<string, string>

const secretOf = () => randomBytes(48).toString('base64')
const production: Env = {
  NODE_ENV: 'production',
  HOURHAND_TOKEN_SECRETS: `a:${secretOf()}`,
  HOURHAND_MASTER_KEY: randomBytes(32).toString('base64'),
}

const load = (env: Env, envFile: string | null = null) => loadConfig(env, () => envFile)

/** The faults as `variable text` lines; empty when the configuration is taken. */
function faultsOf(env: Env): readonly string[] {
  try {
    load(env)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.faults.map(({variable, text}) => `${variable} ${text}`)
  }
}

describe('the configuration', () => {
  test('has safe defaults for development', () => {
    expect(load({})).toEqual({
      warnings: [],
      config: {
        environment: 'development',
        http: {host: '127.0.0.1', port: 3000, publicUrl: 'http://localhost:3000', trustedProxies: []},
        dataFolder: './data',
        store: {type: 'embedded'},
        secrets: {type: 'generate'},
        logLevel: 'info',
        discord: null,
        booking: {
          stepMinutes: 60,
          minutesMin: 60,
          minutesMax: 720,
          noticeMinutesMin: 0,
          horizonDays: 60,
          warmUpMinutes: 5,
          turnaroundMinutes: 5,
        },
        power: {stopGraceMs: 60_000, killMs: 30_000, bootTimeoutMs: 300_000, stopResendMs: 10_000},
      },
    })
  })

  test('listens on all addresses in production and on the host that is set', () => {
    expect(load(production).config.http.host).toBe('0.0.0.0')
    expect(load({...production, HOURHAND_HOST: '::1'}).config.http.host).toBe('::1')
  })

  test('is frozen to its depth', () => {
    const {config} = load({...production, HOURHAND_TRUSTED_PROXIES: '10.0.0.0/8'})
    expect(Object.isFrozen(config)).toBe(true)
    expect(Object.isFrozen(config.booking)).toBe(true)
    expect(Object.isFrozen(config.http.trustedProxies)).toBe(true)
    expect(Object.isFrozen(config.secrets)).toBe(true)
    expect(config.secrets.type === 'configured' && Object.isFrozen(config.secrets.tokenKeys[0])).toBe(true)
  })

  test('reads .env, which a real variable overrides, even an empty one', () => {
    const file = '\uFEFFHOURHAND_PORT=4000\r\nHOURHAND_DATA="/srv/hour hand"\r\nHOURHAND_LOG_LEVEL=debug\r\n'
    const {config} = load({HOURHAND_PORT: '5000', HOURHAND_LOG_LEVEL: ''}, file)
    expect(config.http.port).toBe(5000)
    expect(config.dataFolder).toBe('/srv/hour hand')
    expect(config.logLevel).toBe('info')
  })

  test('prefers HOURHAND_PORT to PORT and derives the public address', () => {
    expect(load({PORT: '8080'}).config.http).toMatchObject({port: 8080, publicUrl: 'http://localhost:8080'})
    expect(load({PORT: '8080', HOURHAND_PORT: '9090'}).config.http.port).toBe(9090)
  })

  test('takes numbers of the booking policy and power times', () => {
    const {config} = load({
      HOURHAND_BOOKING_STEP_MINUTES: '30',
      HOURHAND_BOOKING_MINUTES_MIN: '30',
      HOURHAND_STOP_GRACE_SECONDS: '90',
    })
    expect(config.booking).toMatchObject({stepMinutes: 30, minutesMin: 30})
    expect(config.power.stopGraceMs).toBe(90_000)
  })

  test('normalises the public address', () => {
    const {config} = load({HOURHAND_PUBLIC_URL: 'https://Hours.Example.org/book/'})
    expect(config.http.publicUrl).toBe('https://hours.example.org/book')
  })
})

describe('the configuration refuses', () => {
  test('with every fault at once, in the order of .env.example', () => {
    const faults = faultsOf({
      HOURHAND_KILL_SECONDS: 'soon',
      NODE_ENV: 'production',
      HOURHAND_PORT: '70000',
      HOURHAND_PUBLIC_URL: 'hours.example.org',
      DISCORD_TOKEN: 'abcdefghijklmnopqrstuvwxyz',
    })
    expect(faults.map(fault => fault.split(' ')[0])).toEqual([
      'HOURHAND_PORT',
      'HOURHAND_PUBLIC_URL',
      'HOURHAND_TOKEN_SECRETS',
      'HOURHAND_MASTER_KEY',
      'DISCORD_APPLICATION_ID',
      'HOURHAND_KILL_SECONDS',
    ])
  })

  test.each([
    {NODE_ENV: 'prodution'},
    {NODE_ENV: 'Production'},
    {HOURHAND_PORT: '70000'},
    {HOURHAND_PORT: '-1'},
    {HOURHAND_PORT: '80.5'},
    {HOURHAND_PORT: '0x50'},
    {HOURHAND_PORT: '1e3'},
    {PORT: 'http'},
    {HOURHAND_HOST: 'a b'},
    {HOURHAND_PUBLIC_URL: 'ftp://example.org'},
    {HOURHAND_PUBLIC_URL: 'https://user:pass@example.org'},
    {HOURHAND_PUBLIC_URL: 'https://example.org/?a=1'},
    {HOURHAND_TRUSTED_PROXIES: 'everyone'},
    {HOURHAND_TRUSTED_PROXIES: '10.0.0.0/33'},
    {HOURHAND_TRUSTED_PROXIES: '10.0.0.1,'},
    {HOURHAND_LOG_LEVEL: 'verbose'},
    {HOURHAND_ALLOW_PLAINTEXT_STORE: 'yes'},
    {HOURHAND_BOOKING_STEP_MINUTES: '0'},
    {HOURHAND_BOOKING_STEP_MINUTES: '1440'},
    {HOURHAND_BOOKING_MINUTES_MIN: '721'},
    {HOURHAND_NOTICE_MINUTES_MIN: '86400'},
    {HOURHAND_HORIZON_DAYS: '99999'},
    {HOURHAND_WARMUP_MINUTES: '2.5'},
    {HOURHAND_STOP_RESEND_SECONDS: '61'},
    {DISCORD_TOKEN: 'abcdefghijklmnopqrstuvwxyz'},
    {DISCORD_APPLICATION_ID: '123456789012345678'},
    {HOURHAND_TOKEN_SECRETS: `a:${'x9'.repeat(40)}`},
    {HOURHAND_MASTER_KEY: randomBytes(31).toString('base64')},
  ] satisfies Env[])('%o, naming the variable', env => {
    const faults = faultsOf(env)
    expect(faults).toHaveLength(1)
    expect(faults[0]).toMatch(/^(HOURHAND|NODE|PORT|DISCORD)[A-Z_]* .*\. /s)
  })

  test.each([
    ['no kid', () => secretOf()],
    ['a bad kid', () => `../key:${secretOf()}`],
    ['a repeated kid', () => `a:${secretOf()},a:${secretOf()}`],
    ['an empty entry', () => `a:${secretOf()},`],
    ['a secret of 31 bytes', () => 'a:0123456789qwertyuiopasdfghjklzx'],
  ])('token secrets with %s', (_, make) => {
    expect(faultsOf({...production, HOURHAND_TOKEN_SECRETS: make()})).toEqual([
      expect.stringMatching(/^HOURHAND_TOKEN_SECRETS .*entry \d/),
    ])
  })

  test.each([
    'changeme-changeme-changeme-changeme',
    'please-change-me-before-you-go-live-thanks',
    'your-secret-key-goes-here-0123456789abcd',
    'put-your-own-secret-here-9f8g7h6j5k4l3',
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    'abcd1234efghabcd1234efghabcd1234efgh',
    '0123456789abcdefghijklmnopqrstuvwxyz',
    'this-is-only-an-example-do-not-use-it-ok',
  ])('the placeholder secret %s in production, and warns of it in development', placeholder => {
    const env = {...production, HOURHAND_TOKEN_SECRETS: `a:${placeholder}`}
    expect(faultsOf(env)).toEqual([expect.stringMatching(/^HOURHAND_TOKEN_SECRETS holds a placeholder/)])
    expect(load({...env, NODE_ENV: 'development'}).warnings).toHaveLength(1)
  })

  test.each(['00'.repeat(32), '0123456789abcdef'.repeat(4), Buffer.alloc(32, 7).toString('base64')])(
    'the patterned master key %s in production',
    key => {
      expect(faultsOf({...production, HOURHAND_MASTER_KEY: key})).toEqual([
        expect.stringMatching(/^HOURHAND_MASTER_KEY holds a placeholder/),
      ])
    },
  )

  test('one secret without the other in development', () => {
    const {HOURHAND_MASTER_KEY = '', HOURHAND_TOKEN_SECRETS = ''} = production
    expect(faultsOf({HOURHAND_MASTER_KEY})).toEqual([
      expect.stringMatching(/^HOURHAND_TOKEN_SECRETS and HOURHAND_MASTER_KEY belong together/),
    ])
    expect(faultsOf({HOURHAND_TOKEN_SECRETS})).toEqual([
      expect.stringMatching(/^HOURHAND_TOKEN_SECRETS and HOURHAND_MASTER_KEY belong together/),
    ])
  })

  test('a missing and a placeholder secret in production even when the other is faulty', () => {
    const broken = {NODE_ENV: 'production', HOURHAND_MASTER_KEY: 'short'}
    expect(faultsOf(broken)).toEqual([
      expect.stringMatching(/^HOURHAND_TOKEN_SECRETS is missing/),
      expect.stringMatching(/^HOURHAND_MASTER_KEY is not 32 bytes/),
    ])
    expect(faultsOf({...broken, HOURHAND_TOKEN_SECRETS: `a:${'changeme'.repeat(5)}`})).toHaveLength(2)
  })

  test('without ever showing a value', () => {
    const canary = 'Zx81canary'
    const bad = Object.fromEntries(variableNames.map(name => [name, `${canary} \0`]))
    expect(faultsOf(bad).length).toBeGreaterThan(20)
    expect(() => load({...bad, HOURHAND_TYPO: canary})).toThrow(ConfigError)
    expect(faultsOf({...bad, HOURHAND_TYPO: canary}).join('\n')).not.toContain(canary)
    expect(load({HOURHAND_TYPO: canary}).warnings.join('\n')).not.toContain(canary)
  })
})

describe('secrets', () => {
  test('are read in order, the first of them the one that signs', () => {
    const [first, second] = [secretOf(), `with:colon:${secretOf()}`]
    const {secrets} = load({...production, HOURHAND_TOKEN_SECRETS: `new:${first}, old:${second}`}).config
    if (secrets.type !== 'configured') throw new Error('not configured')
    expect(secrets.tokenKeys.map(({kid, secret}) => [kid, secret.export().toString()])).toEqual([
      ['new', first],
      ['old', second],
    ])
  })

  test.each(['hex', 'base64', 'base64url'] as const)('take a master key in %s', encoding => {
    const key = randomBytes(32)
    const {secrets} = load({...production, HOURHAND_MASTER_KEY: key.toString(encoding)}).config
    expect(secrets.type === 'configured' && secrets.masterKey.export()).toEqual(key)
  })

  test('that are random are never taken for placeholders', () => {
    for (let index = 0; index < 500; index++) {
      const hex = randomBytes(16).toString('hex')
      const env = {...production, HOURHAND_TOKEN_SECRETS: `a:${secretOf()},b:${hex}`}
      expect(faultsOf({...env, HOURHAND_MASTER_KEY: randomBytes(32).toString('hex')})).toEqual([])
    }
  })

  test('do not show when the configuration is printed', () => {
    const {config} = load(production)
    const [, secret = ''] = (production.HOURHAND_TOKEN_SECRETS ?? '').split(':')
    for (const printed of [inspect(config, {depth: 9, showHidden: true}), JSON.stringify(config)]) {
      expect(printed).not.toContain(secret)
      expect(printed).not.toContain(production.HOURHAND_MASTER_KEY)
    }
  })
})

describe('the address of the event store', () => {
  test.each([
    'esdb://localhost:2113?tls=false',
    'esdb://127.0.0.1:2113?tls=false',
    'esdb://127.8.9.10?TLS=false',
    'esdb://db.example.org:2113',
    'esdb://db.example.org:2113?tls=true',
    'esdb+discover://admin:p%40ss@cluster.example.org:2113?nodePreference=leader&keep-alive-interval=10000',
    'esdb://a.example.org:2113,b.example.org:2113,c.example.org:2113/?tls=true',
  ])('may be %s', url => {
    expect(load({EVENTSTORE_URL: url}).config.store).toEqual({type: 'external', url})
  })

  test.each([
    'esdb://db.example.org:2113?tls=false',
    'esdb://localhost:2113,db.example.org:2113?tls=false',
    'esdb://127.0.0.1.example.org:2113?tls=false',
    'esdb://localhost.example.org?tls=false',
    'esdb://10.0.0.5:2113?T-L_S=false',
    'esdb+discover://cluster.example.org?tls=false',
  ])('may not be %s in clear text unless that is allowed', url => {
    expect(faultsOf({EVENTSTORE_URL: url})).toEqual([expect.stringMatching(/^EVENTSTORE_URL has tls=false/)])
    const allowed = load({EVENTSTORE_URL: url, HOURHAND_ALLOW_PLAINTEXT_STORE: 'true'})
    expect(allowed.config.store).toEqual({type: 'external', url})
    expect(allowed.warnings).toEqual([expect.stringMatching(/^EVENTSTORE_URL has tls=false/)])
  })

  test.each([
    'http://localhost:2113',
    'ESDB://localhost:2113',
    'esdb://',
    'esdb://user@localhost:2113',
    'esdb://user:p@ss@localhost:2113',
    'esdb://localhost:port',
    'esdb://localhost:2113?tls=no',
    'esdb://localhost:2113?tls=true&tls=false',
    'esdb://localhost:2113?tls=true?tls=false',
    'esdb://db.example.org:2113?tlsVerifyCert=false',
    'esdb://localhost:2113?unknown=1',
    'localhost:2113',
  ])('may not be %s', url => {
    expect(faultsOf({EVENTSTORE_URL: url})).toEqual([expect.stringMatching(/^EVENTSTORE_URL /)])
  })
})

describe('an unknown variable', () => {
  test.each([
    ['HOURHAND_HORIZON_DAY', 'HOURHAND_HORIZON_DAYS'],
    ['HOURHAND_MASTERKEY', 'HOURHAND_MASTER_KEY'],
    ['hourhand_port', 'HOURHAND_PORT'],
    ['HOURHAND_STOP_GRACE_MS', 'HOURHAND_STOP_GRACE_SECONDS'],
  ])('%s gives a warning that names %s', (name, closest) => {
    const {warnings} = load({[name]: '1'})
    expect(warnings).toEqual([`${name} is unknown and ignored. Did you mean ${closest}?`])
  })

  test('of another program is no business of ours', () => {
    expect(load({PATH: '/bin', NODE_OPTIONS: '', DISCORD_WEBHOOK: 'x'}).warnings).toEqual([])
  })
})

describe('.env.example', () => {
  const text = readFileSync(new URL('../.env.example', import.meta.url), 'utf8')
  const lines = [...text.matchAll(/^#([A-Z_]+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value] as const)

  test('has every variable once and in order, all commented out', () => {
    expect(lines.map(([name]) => name)).toEqual(variableNames)
    expect(load({}, text)).toEqual(load({}))
  })

  test('shows the defaults, and examples that no production node would take for secrets', () => {
    const examples = ['HOURHAND_PUBLIC_URL', 'HOURHAND_TRUSTED_PROXIES', 'EVENTSTORE_URL', 'HOURHAND_TOKEN_SECRETS']
    examples.push('HOURHAND_MASTER_KEY', 'DISCORD_TOKEN', 'DISCORD_APPLICATION_ID')
    const shown = lines.filter(([name]) => !examples.includes(name))
    expect(load(Object.fromEntries(shown))).toEqual(load({}))
    expect(faultsOf({...Object.fromEntries(lines), NODE_ENV: 'production'}).map(fault => fault.split(' ')[0])).toEqual([
      'HOURHAND_TOKEN_SECRETS',
      'HOURHAND_MASTER_KEY',
    ])
  })
})

describe.each(['docker-compose.yml', 'Dockerfile'])('%s', file => {
  test('sets only variables that are read', () => {
    const text = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')
    const set = [...text.matchAll(/^(?: {6}|ENV )([A-Z_]+)[:=]/gm)].map(([, name = '']) => name)
    const ours = set.filter(name => !/^EVENTSTORE_(?!URL$)/.test(name))
    expect(ours.length).toBeGreaterThan(0)
    expect(variableNames).toEqual(expect.arrayContaining(ours))
  })
})
