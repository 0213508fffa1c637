import {Writable} from 'node:stream'
import {describe, expect, test} from 'vitest'
import {createLogger, scrubbedText, scrubbedUrl} from '../../src/http/logging.ts'
import {startServer} from './support.ts'

const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg'

function logOf(write: (logger: ReturnType<typeof createLogger>) => void): string {
  let text = ''
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString('utf8')
      done()
    },
  })
  write(createLogger('info', destination))
  return text
}

describe('the log', () => {
  test('keeps credentials out of whatever is logged', () => {
    const text = logOf(logger => {
      logger.info({req: {headers: {authorization: 'canary', cookie: 'canary', 'x-api-key': 'canary'}}}, 'request')
      logger.info({headers: {authorization: 'canary', 'set-cookie': 'canary'}}, 'answer')
      logger.info({body: {password: 'canary', token: 'canary', input: {password: 'canary'}}, token: 'canary'}, 'body')
    })
    expect(text).not.toContain('canary')
    expect(text.match(/\[redacted\]/g)).toHaveLength(9)
  })

  test('keeps credentials out of errors, and with them everything a library hangs onto an error', () => {
    const error = Object.assign(new Error(`connect esdb://admin:canary@db failed, Bearer canary1234, ${jwt}`), {
      code: 'ECONNREFUSED',
      request: {headers: {'x-odd': 'canary'}},
      connectionString: 'canary',
    })
    const text = logOf(logger => logger.error({err: error}, 'failed'))
    expect(text).not.toContain('canary')
    expect(text).not.toContain(jwt)
    expect(text).toContain('ECONNREFUSED')
    expect(text).toContain('logging.test.ts')
  })

  test('of a request has neither its headers nor the tokens in its address', async () => {
    const {server, url, log} = await startServer()
    const headers = {authorization: `Bearer ${jwt}`, cookie: 'session=canary'}
    await fetch(`${url}/nowhere/${jwt}?access_token=canary&%74oken=canary&page=2`, {headers})
    await server.close()
    expect(log()).toContain('page=2')
    expect(log()).toContain('/nowhere/[token]')
    expect(log()).not.toContain('canary')
    expect(log()).not.toContain(jwt)
  })
})

describe('an address in the log', () => {
  test.each([
    ['/machines?page=2', '/machines?page=2'],
    ['/sign-in?token=abc', '/sign-in?token=[redacted]'],
    ['/callback?code=abc&state=def&page=1', '/callback?code=[redacted]&state=[redacted]&page=1'],
    ['/a?API_KEY=abc', '/a?API_KEY=[redacted]'],
    ['/a?x=1?token=abc', '/a?x=1?token=abc'],
    ['/a?%74oken=abc', '/a?%74oken=[redacted]'],
    ['/a?%zz=abc', '/a?%zz=abc'],
    [`/a/${jwt}`, '/a/[token]'],
    [`/a?x=${jwt}`, '/a?x=[token]'],
  ])('%s is written %s', (url, written) => {
    expect(scrubbedUrl(url)).toBe(written)
  })

  test('is cut when it is endless', () => {
    expect(scrubbedUrl(`/${'x'.repeat(100_000)}`)).toHaveLength(2000)
  })

  test('is scrubbed in linear time', () => {
    expect(scrubbedText('a://'.repeat(50_000))).toHaveLength(200_000)
    expect(scrubbedText('eyJ'.repeat(50_000))).toHaveLength(150_000)
  })
})
