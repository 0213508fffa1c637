/** What the store is told by options and, where they are absent, by the environment. */
import {readFileSync} from 'node:fs'
import {isIPv4} from 'node:net'
import {resolve} from 'node:path'
import {parseArgs} from 'node:util'

export interface StoreSettings {
  /** The log is in its folder `events`, as in Hourhand's own data folder. */
  readonly dataFolder: string
  readonly host: string
  readonly advertisedHost: string | undefined
  readonly port: number
  /** Of `/health` and `/stats`, on loopback. */
  readonly httpPort: number
  readonly logLevel: string
  readonly security:
    | {
        readonly certificate: string
        readonly privateKey: string
        readonly username: string
        readonly password: string
      }
    | undefined
}

/** The message has every fault, a line each, and no secret. */
export class BadSettings extends Error {}

export const usage = `npm run store -- [options]
  --data DIR            data folder; its log is DIR/events   (STORE_DATA, default ./data)
  --port N              gRPC; 0 takes a free one             (STORE_PORT, default 2113)
  --http-port N         /health and /stats, loopback only    (STORE_HTTP_PORT, default: the port above --port)
  --host HOST           where to listen                      (STORE_HOST, default 127.0.0.1)
  --advertise HOST      name for clients with esdb+discover  (STORE_ADVERTISE, default: --host)
  --tls-cert FILE       PEM                                  (STORE_TLS_CERT)
  --tls-key FILE        PEM                                  (STORE_TLS_KEY)
  --user NAME           the one account                      (STORE_USER)
  --password-file FILE  its password                         (or STORE_PASSWORD)
  --log-level LEVEL     fatal … trace, silent                (STORE_LOG_LEVEL, default info)
Other machines are served only with TLS and an account.`

const options = {
  data: {type: 'string'},
  port: {type: 'string'},
  'http-port': {type: 'string'},
  host: {type: 'string'},
  advertise: {type: 'string'},
  'tls-cert': {type: 'string'},
  'tls-key': {type: 'string'},
  user: {type: 'string'},
  'password-file': {type: 'string'},
  'log-level': {type: 'string'},
  help: {type: 'boolean'},
} as const

type Environment = Readonly<Record<string, string | undefined>>

/** @throws BadSettings */
export function readSettings(args: readonly string[], env: Environment): StoreSettings | 'help' {
  const given = parse(args)
  if (given.help === true) return 'help'
  const faults: string[] = []
  const text = (option: string | undefined, variable: string): string | undefined => {
    const value = option ?? env[variable]
    return value === undefined || value.trim() === '' ? undefined : value.trim()
  }
  const portOf = (value: string | undefined, option: string, absent: number): number => {
    if (value === undefined) return absent
    if (/^\d{1,5}$/.test(value) && Number(value) <= 65_535) return Number(value)
    faults.push(`${option} is no port. Give a whole number from 0 to 65535.`)
    return absent
  }
  const fileOf = (path: string | undefined, option: string): string | undefined => {
    if (path === undefined) return undefined
    try {
      return readFileSync(path, 'utf8')
    } catch (error) {
      faults.push(`${option} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'}).`)
      return undefined
    }
  }
  const host = text(given.host, 'STORE_HOST') ?? '127.0.0.1'
  const port = portOf(text(given.port, 'STORE_PORT'), '--port', 2113)
  const httpPort = portOf(text(given['http-port'], 'STORE_HTTP_PORT'), '--http-port', port === 0 ? 0 : port + 1)
  const logLevel = text(given['log-level'], 'STORE_LOG_LEVEL') ?? 'info'
  if (!logLevels.includes(logLevel)) faults.push(`--log-level is none of ${logLevels.join(', ')}.`)
  const certificate = fileOf(text(given['tls-cert'], 'STORE_TLS_CERT'), '--tls-cert')
  const privateKey = fileOf(text(given['tls-key'], 'STORE_TLS_KEY'), '--tls-key')
  const username = text(given.user, 'STORE_USER')
  const password = fileOf(given['password-file'], '--password-file')?.trim() ?? text(undefined, 'STORE_PASSWORD')
  const security = {certificate, privateKey, username, password}
  faults.push(...securityFaults(host, security))
  if (faults.length > 0) throw new BadSettings(faults.join('\n'))
  return {
    dataFolder: resolve(text(given.data, 'STORE_DATA') ?? './data'),
    host,
    advertisedHost: text(given.advertise, 'STORE_ADVERTISE'),
    port,
    httpPort,
    logLevel,
    security: isWhole(security) ? security : undefined,
  }
}

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']

function parse(args: readonly string[]) {
  try {
    return parseArgs({args: [...args], options, strict: true, allowPositionals: false}).values
  } catch (error) {
    throw new BadSettings((error as Error).message)
  }
}

interface Parts {
  readonly certificate: string | undefined
  readonly privateKey: string | undefined
  readonly username: string | undefined
  readonly password: string | undefined
}

const isWhole = (parts: Parts): parts is NonNullable<StoreSettings['security']> =>
  Object.values(parts).every(part => part !== undefined && part !== '')

function securityFaults(host: string, parts: Parts): readonly string[] {
  const isLocal = host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
  const given = Object.values(parts).filter(part => part !== undefined && part !== '').length
  if (given === 0) {
    return isLocal ? [] : ['--host is not this machine. Others are served only with TLS and an account: see below.']
  }
  // Without TLS clients send no credentials, and TLS without an account would let in everybody who can connect.
  if (!isWhole(parts)) return ['--tls-cert, --tls-key, --user and a password belong together. Give all, or none.']
  return parts.username.includes(':') ? ['--user has a colon, which no client can send.'] : []
}
