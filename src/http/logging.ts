import {pino, stdSerializers, type DestinationStream, type Logger} from 'pino'

/**
 * The log of a node: JSON lines on standard output, or on `destination`. What must not be in a log is taken out here,
 * once, and not where lines are written: credentials in headers and in well-known fields, tokens in addresses, and
 * passwords in the text of errors.
 */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = {
    level,
    redact: {paths: redactedPaths, censor: '[redacted]'},
    serializers: {err: scrubbedError, error: scrubbedError},
  }
  return destination === undefined ? pino(options) : pino(options, destination)
}

const secretFields = [
  'authorization',
  'cookie',
  'password',
  'secret',
  'token',
  'accessToken',
  'refreshToken',
  'apiKey',
  'code',
].flatMap(name => [`*.${name}`, `*.*.${name}`])

// `code` directly under the line is an error's or a refusal's name; deeper down it may be a one-time code.
const redactedPaths = [
  ...secretFields.filter(path => path !== '*.code'),
  '*["set-cookie"]',
  '*.*["set-cookie"]',
  '*["x-api-key"]',
  '*.*["x-api-key"]',
  'authorization',
  'cookie',
  'password',
  'secret',
  'token',
]

/** An address as it may be logged: without the values of parameters that sound secret, and without tokens. */
export function scrubbedUrl(url: string): string {
  const [path = '', ...rest] = url.slice(0, 2000).split('?')
  const query = rest.join('?')
  if (query === '') return scrubbedText(path)
  const parameters = query.split('&').map(parameter => {
    const [name = ''] = parameter.split('=')
    return secretParameter.test(decoded(name)) ? `${name}=[redacted]` : parameter
  })
  return scrubbedText(`${path}?${parameters.join('&')}`)
}

const secretParameter = /token|key|secret|password|passwd|code|state|signature|auth|ticket|session|jwt/i

/** Takes tokens, and passwords inside addresses, out of any text. */
export function scrubbedText(text: string): string {
  return (
    text
      // The look-behind keeps this linear: a long run of letters is entered once and not at each of its places.
      .replaceAll(/(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*\.?[A-Za-z0-9_-]*/g, '[token]')
      .replaceAll(/\b(bearer|basic|bot)\s+[A-Za-z0-9._~+/=-]{8,}/gi, '$1 [redacted]')
      .replaceAll(/((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/@:]{1,200}:[^\s/@]{1,200}@/gi, '$1[redacted]@')
  )
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch (error) {
    if (error instanceof URIError) return name
    throw error
  }
}

function scrubbedError(error: unknown): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? scrubbedText(error) : error
  const {type, message, stack} = stdSerializers.err(error)
  // Only these: other properties of an error are whatever a library hung there, a request with its headers included.
  const code: unknown = 'code' in error ? error.code : undefined
  return {
    type,
    message: scrubbedText(message),
    stack: scrubbedText(stack),
    ...(typeof code === 'string' || typeof code === 'number' ? {code} : {}),
  }
}
