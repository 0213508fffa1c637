import {isIP, isIPv4} from 'node:net'
import {z} from 'zod'
import {parseMasterKey, parseTokenKeys} from './access/secrets.ts'

// How single values of the configuration are read. Messages say what is wrong and what to do and never hold the value.

export function oneOf<const Choice extends string>(choices: readonly Choice[]) {
  return z.enum(choices, {error: `is not one of ${choices.join(', ')}. Set one of these`})
}

export function matching(pattern: RegExp, error: string) {
  return z.string().regex(pattern, {error})
}

export function wholeNumber(min: number, max: number) {
  const error = `is no whole number from ${min} to ${max}. Set one`
  return z
    .string()
    .regex(/^\d{1,9}$/, {error, abort: true})
    .transform(Number)
    .refine(value => value >= min && value <= max, {error})
}

type Context = z.core.$RefinementCtx<string>

function fail(context: Context, message: string): never {
  context.addIssue({code: 'custom', message})
  return z.NEVER
}

export function asPublicUrl(text: string, context: Context): string {
  const url = URL.parse(text)
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    return fail(context, 'is no URL. Set one such as https://hours.example.org')
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    return fail(context, 'has a user, a query or a fragment. Set only scheme, host, port and path')
  }
  return url.href.replace(/\/+$/, '')
}

export function asAddresses(text: string, context: Context): readonly string[] {
  const addresses = text.split(',').map(address => address.trim())
  return addresses.every(isAddressRange)
    ? addresses
    : fail(context, 'has an entry that is no IP address or CIDR range. Set e.g. 10.0.0.0/8,::1')
}

function isAddressRange(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  if (isIP(address) === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (isIPv4(address) ? 32 : 128))
}

// The options that @eventstore/db-client knows. It prints the whole URL, password included, on one it does not know.
const storeOptions = new Set(
  (
    'tls tlscafile usercertfile userkeyfile connectionname maxdiscoverattempts discoveryinterval gossiptimeout ' +
    'nodepreference keepaliveinterval keepalivetimeout defaultdeadline throwonappendfailure'
  ).split(' '),
)

export function asStoreUrl(
  text: string,
  context: Context,
): {readonly url: string; readonly isPlaintextAbroad: boolean} {
  const shape =
    /^esdb(?:\+discover)?:\/\/(?:[^:@/?,\s]+:[^:@/?,\s]+@)?([A-Za-z0-9._-]+(?::\d{1,5})?(?:,[A-Za-z0-9._-]+(?::\d{1,5})?)*)\/?(?:\?([^?\s]*))?$/
  const match = shape.exec(text)
  if (match === null) {
    const form = 'esdb://user:password@host:2113,host:2113?tls=true'
    return fail(context, `is no connection string. Its form is ${form}; percent-encode : @ / ? , in a password`)
  }
  const options = new Map<string, string>()
  for (const option of (match[2] ?? '').split('&').filter(option => option !== '')) {
    const [key = '', value = ''] = option.split('=')
    // The client ignores case, - and _ in names.
    const name = key.toLowerCase().replaceAll(/[_-]/g, '')
    if (options.has(name)) return fail(context, 'has an option twice. Remove one of them')
    if (!storeOptions.has(name)) return fail(context, 'has an option that the client does not support. Remove it')
    if (name === 'tls' && !['true', 'false'].includes(value)) return fail(context, 'has tls neither true nor false')
    options.set(name, value)
  }
  const hosts = (match[1] ?? '').split(',').map(host => host.replace(/:\d+$/, ''))
  return {url: text, isPlaintextAbroad: options.get('tls') === 'false' && !hosts.every(isLoopback)}
}

export function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || host === '[::1]' || (isIPv4(host) && host.startsWith('127.'))
}

export function asTokenKeys(text: string, context: Context) {
  const result = parseTokenKeys(text)
  if ('keys' in result) return result.keys
  return fail(context, `${result.faults.join('; ')}. Make a secret with: openssl rand -base64 48`)
}

export function asMasterKey(text: string, context: Context) {
  return (
    parseMasterKey(text) ?? fail(context, 'is not 32 bytes in hex or base64. Make one with: openssl rand -base64 32')
  )
}

/** Levenshtein distance: how many letters to add, drop or change. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({length: b.length + 1}, (_, index) => index)
  for (const [i, letter] of a.split('').entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      const change = (row[j] ?? 0) + (letter === b[j] ? 0 : 1)
      next.push(Math.min(change, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
