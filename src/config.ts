import type {KeyObject} from 'node:crypto'
import {parseEnv} from 'node:util'
import {z} from 'zod'
import {isPlaceholder, type Secrets} from './access/secrets.ts'
import {
  asAddresses,
  asMasterKey,
  asPublicUrl,
  asStoreUrl,
  asTokenKeys,
  editDistance,
  isLoopback,
  matching,
  oneOf,
  wholeNumber,
} from './config-values.ts'
import {minutes, type Minutes} from './kernel/minutes.ts'

/** Everything a node is told from outside, checked and frozen. `.env.example` explains each variable. */
export interface Config {
  readonly environment: Environment
  readonly http: {
    readonly host: string
    readonly port: number
    /** Where users reach this node, without a trailing slash. */
    readonly publicUrl: string
    /** Addresses or CIDR ranges whose `X-Forwarded-For` is believed. */
    readonly trustedProxies: readonly string[]
  }
  readonly dataFolder: string
  readonly store: {readonly type: 'embedded'} | {readonly type: 'external'; readonly url: string}
  /** `generate`: development and test only; `loadOrCreateDevelopmentSecrets` makes and keeps them. */
  readonly secrets: ({readonly type: 'configured'} & Secrets) | {readonly type: 'generate'}
  readonly logLevel: (typeof logLevels)[number]
  readonly discord: {readonly token: string; readonly applicationId: string} | null
  readonly booking: {
    readonly stepMinutes: Minutes
    readonly minutesMin: Minutes
    readonly minutesMax: Minutes
    readonly noticeMinutesMin: Minutes
    readonly horizonDays: number
    readonly warmUpMinutes: Minutes
    readonly turnaroundMinutes: Minutes
  }
  readonly power: {
    readonly stopGraceMs: number
    readonly killMs: number
    readonly bootTimeoutMs: number
    readonly stopResendMs: number
  }
}

export type Environment = (typeof environments)[number]

export interface ConfigFault {
  readonly variable: string
  /** What is wrong and what to do. Never holds the value: it may be a secret. */
  readonly text: string
}

/** The configuration cannot be used; `faults` has all the reasons, in the order of `.env.example`. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: readonly ConfigFault[]
  constructor(faults: readonly ConfigFault[]) {
    const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`
    super(`The configuration has ${count}:\n${faults.map(({variable, text}) => `- ${variable} ${text}`).join('\n')}`)
    this.faults = faults
  }
}

/**
 * Reads the configuration from environment variables and, where they are unset, from the text of a `.env` file (null
 * when there is none). An empty value counts as unset. Throws `ConfigError` with every fault at once.
 */
export function loadConfig(
  env: Readonly<Record<string, string | undefined>>,
  readEnvFile: () => string | null,
): {readonly config: Config; readonly warnings: readonly string[]} {
  const values = effectiveValues(env, readEnvFile())
  const faults: ConfigFault[] = []
  const parsed = new Map<string, unknown>()
  for (const [variable, schema] of Object.entries(variables)) {
    const result = schema.safeParse(values.get(variable))
    if (result.success) parsed.set(variable, result.data)
    else faults.push(...result.error.issues.map(({message}) => ({variable, text: message})))
  }
  const read: Read = variable => parsed.get(variable) as never
  const warnings = unknownVariables(values)
  // Rules between variables are checked even when others are faulty: all faults are to be shown at once.
  for (const rule of rules) {
    if (!rule.of.every(variable => parsed.has(variable))) continue
    const {fault, warning} = rule.check(read)
    if (fault !== undefined) faults.push({variable: rule.of[0], text: fault})
    if (warning !== undefined) warnings.push(`${rule.of[0]} ${warning}`)
  }
  if (faults.length > 0) {
    const order = Object.keys(variables)
    throw new ConfigError(faults.toSorted((a, b) => order.indexOf(a.variable) - order.indexOf(b.variable)))
  }
  return {config: deepFreeze(assemble(read)), warnings}
}

const environments = ['development', 'production', 'test'] as const
const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

const variables = {
  NODE_ENV: oneOf(environments).default('development'),
  HOURHAND_PORT: wholeNumber(0, 65_535).optional(),
  PORT: wholeNumber(0, 65_535).optional(),
  HOURHAND_HOST: matching(
    /^[A-Za-z0-9.:_-]{1,253}$/,
    'is no host name or IP address. Set one, e.g. 127.0.0.1',
  ).optional(),
  HOURHAND_PUBLIC_URL: z.string().transform(asPublicUrl).optional(),
  HOURHAND_TRUSTED_PROXIES: z.string().transform(asAddresses).default([]),
  HOURHAND_DATA: matching(/^[^\0]{1,1000}$/, 'is no path').default('./data'),
  EVENTSTORE_URL: z.string().transform(asStoreUrl).optional(),
  HOURHAND_ALLOW_PLAINTEXT_STORE: oneOf(['true', 'false']).default('false'),
  HOURHAND_TOKEN_SECRETS: z.string().transform(asTokenKeys).optional(),
  HOURHAND_MASTER_KEY: z.string().transform(asMasterKey).optional(),
  HOURHAND_LOG_LEVEL: oneOf(logLevels).default('info'),
  DISCORD_TOKEN: matching(/^[\x21-\x7e]{20,200}$/, 'is no bot token. Copy it from the developer portal').optional(),
  DISCORD_APPLICATION_ID: matching(/^\d{17,20}$/, 'is no application id. It has 17 to 20 digits').optional(),
  HOURHAND_BOOKING_STEP_MINUTES: wholeNumber(1, 1440).default(60),
  HOURHAND_BOOKING_MINUTES_MIN: wholeNumber(1, 10_080).default(60),
  HOURHAND_BOOKING_MINUTES_MAX: wholeNumber(1, 525_600).default(720),
  HOURHAND_NOTICE_MINUTES_MIN: wholeNumber(0, 525_600).default(0),
  HOURHAND_HORIZON_DAYS: wholeNumber(1, 3650).default(60),
  HOURHAND_WARMUP_MINUTES: wholeNumber(0, 1440).default(5),
  HOURHAND_TURNAROUND_MINUTES: wholeNumber(0, 1440).default(5),
  HOURHAND_STOP_GRACE_SECONDS: wholeNumber(1, 3600).default(60),
  HOURHAND_KILL_SECONDS: wholeNumber(1, 3600).default(30),
  HOURHAND_BOOT_TIMEOUT_SECONDS: wholeNumber(1, 7200).default(300),
  HOURHAND_STOP_RESEND_SECONDS: wholeNumber(1, 3600).default(10),
} satisfies Record<string, z.ZodType>

/** Every variable that is read, in the order of `.env.example`. */
export const variableNames: readonly string[] = Object.keys(variables)

type Variable = keyof typeof variables
type Read = <Name extends Variable>(variable: Name) => z.output<(typeof variables)[Name]>

interface Rule {
  /** The variables the rule reads; it is skipped while one of them is faulty. A fault is reported on the first. */
  readonly of: readonly [Variable, ...Variable[]]
  check(read: Read): {readonly fault?: string; readonly warning?: string}
}

const rules: readonly Rule[] = [
  {of: ['EVENTSTORE_URL', 'HOURHAND_ALLOW_PLAINTEXT_STORE'], check: checkStoreTls},
  {
    of: ['HOURHAND_TOKEN_SECRETS', 'NODE_ENV'],
    check: read =>
      checkSecret(
        read,
        read('HOURHAND_TOKEN_SECRETS')?.map(({secret}) => secret),
      ),
  },
  {
    of: ['HOURHAND_MASTER_KEY', 'NODE_ENV'],
    check: read => {
      const key = read('HOURHAND_MASTER_KEY')
      return checkSecret(read, key && [key])
    },
  },
  {of: ['HOURHAND_TOKEN_SECRETS', 'HOURHAND_MASTER_KEY', 'NODE_ENV'], check: checkSecretPair},
  {of: ['HOURHAND_PUBLIC_URL', 'NODE_ENV'], check: checkPublicUrl},
  {
    of: ['DISCORD_APPLICATION_ID', 'DISCORD_TOKEN'],
    check: read =>
      (read('DISCORD_TOKEN') === undefined) === (read('DISCORD_APPLICATION_ID') === undefined)
        ? {}
        : {fault: 'and DISCORD_TOKEN belong together. Set both, or neither'},
  },
  {
    of: ['HOURHAND_BOOKING_MINUTES_MIN', 'HOURHAND_BOOKING_MINUTES_MAX'],
    check: read =>
      read('HOURHAND_BOOKING_MINUTES_MIN') <= read('HOURHAND_BOOKING_MINUTES_MAX')
        ? {}
        : {fault: 'is more than HOURHAND_BOOKING_MINUTES_MAX. Set it to that or less'},
  },
  {
    of: ['HOURHAND_BOOKING_STEP_MINUTES', 'HOURHAND_BOOKING_MINUTES_MAX'],
    check: read =>
      read('HOURHAND_BOOKING_STEP_MINUTES') <= read('HOURHAND_BOOKING_MINUTES_MAX')
        ? {}
        : {fault: 'is more than HOURHAND_BOOKING_MINUTES_MAX, so nothing could be booked. Set it to that or less'},
  },
  {
    of: ['HOURHAND_NOTICE_MINUTES_MIN', 'HOURHAND_HORIZON_DAYS'],
    check: read =>
      read('HOURHAND_NOTICE_MINUTES_MIN') < read('HOURHAND_HORIZON_DAYS') * 1440
        ? {}
        : {fault: 'reaches beyond HOURHAND_HORIZON_DAYS, so nothing could be booked. Set it lower'},
  },
  {
    of: ['HOURHAND_STOP_RESEND_SECONDS', 'HOURHAND_STOP_GRACE_SECONDS'],
    check: read =>
      read('HOURHAND_STOP_RESEND_SECONDS') <= read('HOURHAND_STOP_GRACE_SECONDS')
        ? {}
        : {fault: 'is more than HOURHAND_STOP_GRACE_SECONDS, so no stop would be sent again. Set it lower'},
  },
]

function assemble(read: Read): Config {
  const environment = read('NODE_ENV')
  const port = read('HOURHAND_PORT') ?? read('PORT') ?? 3000
  const url = read('EVENTSTORE_URL')?.url
  const tokenKeys = read('HOURHAND_TOKEN_SECRETS')
  const masterKey = read('HOURHAND_MASTER_KEY')
  const token = read('DISCORD_TOKEN')
  const applicationId = read('DISCORD_APPLICATION_ID')
  return {
    environment,
    http: {
      host: read('HOURHAND_HOST') ?? (environment === 'production' ? '0.0.0.0' : '127.0.0.1'),
      port,
      publicUrl: read('HOURHAND_PUBLIC_URL') ?? `http://localhost:${port}`,
      trustedProxies: read('HOURHAND_TRUSTED_PROXIES'),
    },
    dataFolder: read('HOURHAND_DATA'),
    store: url === undefined ? {type: 'embedded'} : {type: 'external', url},
    secrets:
      tokenKeys === undefined || masterKey === undefined
        ? {type: 'generate'}
        : {type: 'configured', tokenKeys, masterKey},
    logLevel: read('HOURHAND_LOG_LEVEL'),
    discord: token === undefined || applicationId === undefined ? null : {token, applicationId},
    booking: {
      stepMinutes: minutes(read('HOURHAND_BOOKING_STEP_MINUTES')),
      minutesMin: minutes(read('HOURHAND_BOOKING_MINUTES_MIN')),
      minutesMax: minutes(read('HOURHAND_BOOKING_MINUTES_MAX')),
      noticeMinutesMin: minutes(read('HOURHAND_NOTICE_MINUTES_MIN')),
      horizonDays: read('HOURHAND_HORIZON_DAYS'),
      warmUpMinutes: minutes(read('HOURHAND_WARMUP_MINUTES')),
      turnaroundMinutes: minutes(read('HOURHAND_TURNAROUND_MINUTES')),
    },
    power: {
      stopGraceMs: read('HOURHAND_STOP_GRACE_SECONDS') * 1000,
      killMs: read('HOURHAND_KILL_SECONDS') * 1000,
      bootTimeoutMs: read('HOURHAND_BOOT_TIMEOUT_SECONDS') * 1000,
      stopResendMs: read('HOURHAND_STOP_RESEND_SECONDS') * 1000,
    },
  }
}

function effectiveValues(
  env: Readonly<Record<string, string | undefined>>,
  envFile: string | null,
): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  for (const source of [parseEnv((envFile ?? '').replace(/^\uFEFF/, '')), env]) {
    for (const [name, value] of Object.entries(source)) if (value !== undefined) values.set(name, value.trim())
  }
  for (const [name, value] of values) if (value === '') values.delete(name)
  return values
}

function checkStoreTls(read: Read) {
  if (read('EVENTSTORE_URL')?.isPlaintextAbroad !== true) return {}
  const risk = 'has tls=false to a host that is not this one, so events and passwords would travel in clear text'
  if (read('HOURHAND_ALLOW_PLAINTEXT_STORE') === 'true') return {warning: `${risk} (allowed)`}
  return {
    fault: `${risk}. Remove tls=false, or, on a private network, set HOURHAND_ALLOW_PLAINTEXT_STORE=true`,
  }
}

function checkSecret(read: Read, keys: readonly KeyObject[] | undefined) {
  const isProduction = read('NODE_ENV') === 'production'
  const remedy = 'Make one as .env.example tells'
  if (keys === undefined) return isProduction ? {fault: `is missing, and production needs it. ${remedy}`} : {}
  if (!keys.some(isPlaceholder)) return {}
  const text = `holds a placeholder or a pattern, not a random secret. ${remedy}`
  return isProduction ? {fault: text} : {warning: text}
}

function checkSecretPair(read: Read) {
  if (read('NODE_ENV') === 'production') return {}
  return (read('HOURHAND_TOKEN_SECRETS') === undefined) === (read('HOURHAND_MASTER_KEY') === undefined)
    ? {}
    : {fault: 'and HOURHAND_MASTER_KEY belong together. Set both, or neither to have them made'}
}

function checkPublicUrl(read: Read) {
  const url = URL.parse(read('HOURHAND_PUBLIC_URL') ?? '')
  if (url === null || url.protocol === 'https:' || isLoopback(url.hostname) || read('NODE_ENV') !== 'production')
    return {}
  return {warning: 'is not https: whoever is on the way can read tokens'}
}

function unknownVariables(values: ReadonlyMap<string, string>): string[] {
  return [...values.keys()]
    .filter(name => /^hourhand_/i.test(name) && !variableNames.includes(name))
    .map(name => {
      const shown = name.slice(0, 80)
      return `${shown} is unknown and ignored. Did you mean ${closestVariable(shown.toUpperCase())}?`
    })
}

function closestVariable(name: string): string {
  const [closest = ''] = variableNames.toSorted((a, b) => editDistance(name, a) - editDistance(name, b))
  return closest
}

/** Freezes plain data to its depth. Keys (`KeyObject`) are immutable as they are. */
function deepFreeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null) {
    const isPlain = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype
    if (isPlain) for (const part of Object.values(value)) deepFreeze(part)
    if (isPlain) Object.freeze(value)
  }
  return value
}
