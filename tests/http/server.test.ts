import {once} from 'node:events'
import {afterEach, beforeEach, describe, expect, test} from 'vitest'
import {HttpError} from '../../src/http/errors.ts'
import {openSocket, parseAnswer, readToEnd, startServer} from './support.ts'

let running: Awaited<ReturnType<typeof startServer>>
beforeEach(async () => {
  running = await startServer({}, app => {
    app.post('/echo', async request => request.body)
    app.get('/echo', async request => request.query)
    app.get('/ip', async request => ({ip: request.ip}))
    app.get('/machines/:id', async request => request.params)
    app.get('/bug', async () => {
      throw new Error('no route to db.internal at /srv/hourhand/secret.ts')
    })
    app.get('/refusal', async () => {
      throw new HttpError({
        status: 422,
        code: 'KEY_REUSED',
        message: 'The key was used for another request.',
        field: 'key',
      })
    })
    app.get('/limited', async () => {
      throw new HttpError({status: 429, code: 'RATE_LIMITED', message: 'Slow down.', headers: {'retry-after': '7'}})
    })
    app.get('/strange', async () => {
      throw Object.assign(new Error('inside'), {statusCode: 403, headers: {'x-leak': 'yes'}})
    })
    app.get('/thrown-text', async () => {
      // oxlint-disable-next-line typescript/only-throw-error -- a library may do it
      throw 'text with a secret'
    })
    app.post(
      '/shaped',
      {schema: {body: {type: 'object', properties: {hours: {type: 'integer'}}, required: ['hours']}}},
      async () => ({}),
    )
  })
})
afterEach(async () => {
  await running.server.close()
})

async function ask(path: string, init?: RequestInit) {
  const response = await fetch(`${running.url}${path}`, init)
  const text = await response.text()
  return {status: response.status, headers: response.headers, body: text === '' ? null : (JSON.parse(text) as unknown)}
}

const postJson = (body: string | Buffer, type = 'application/json'): RequestInit => ({
  method: 'POST',
  headers: {'content-type': type},
  body: typeof body === 'string' ? body : new Uint8Array(body),
})

const refusal = (code: string, more: object = {}) => ({
  code,
  message: expect.stringMatching(/^[A-Z].*\.$/) as string,
  retryable: false,
  requestId: expect.stringMatching(/^request-\d+$/) as string,
  ...more,
})

describe('an answer', () => {
  test('carries the security headers and a request id of its own, whatever the caller sends', async () => {
    const headers = {'x-request-id': 'forged', 'request-id': 'forged'}
    for (const path of ['/echo', '/nowhere', '/bug']) {
      const answer = await ask(path, {headers})
      expect(answer.headers.get('x-request-id')).toMatch(/^request-\d+$/)
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
      expect(answer.headers.get('x-frame-options')).toBe('DENY')
      expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(answer.headers.get('x-powered-by')).toBeNull()
      expect(answer.headers.get('server')).toBeNull()
    }
  })

  test('of a refusal names the same request id in body, header and log', async () => {
    const {headers, body} = await ask('/refusal')
    expect(body).toMatchObject({requestId: headers.get('x-request-id')})
    expect(running.log()).toContain(`"requestId":"${headers.get('x-request-id')}"`)
  })
})

describe('an error', () => {
  test('thrown on purpose says what it was made to say', async () => {
    expect(await ask('/refusal')).toMatchObject({status: 422, body: refusal('KEY_REUSED', {field: 'key'})})
    const limited = await ask('/limited')
    expect(limited).toMatchObject({status: 429, body: refusal('RATE_LIMITED', {retryable: true})})
    expect(limited.headers.get('retry-after')).toBe('7')
  })

  test.each(['/bug', '/thrown-text'])('that is a bug (%s) tells nothing of the inside', async path => {
    const {status, body} = await ask(path)
    expect(status).toBe(500)
    expect(body).toEqual(refusal('INTERNAL'))
    expect(JSON.stringify(body)).not.toMatch(/internal at|secret|\.ts|stack/)
  })

  test('that is a bug is in the log with its stack', async () => {
    await ask('/bug')
    expect(running.log()).toContain('no route to db.internal')
    expect(running.log()).toContain('server.test.ts')
  })

  test('of a plugin keeps its status and neither its words nor its headers', async () => {
    const {status, body, headers} = await ask('/strange')
    expect(status).toBe(403)
    expect(body).toEqual(refusal('FORBIDDEN'))
    expect(headers.get('x-leak')).toBeNull()
  })

  test('of a schema names the field', async () => {
    expect(await ask('/shaped', postJson('{"hours":"many"}'))).toMatchObject({
      status: 400,
      body: refusal('BAD_INPUT', {field: 'hours'}),
    })
  })
})

describe('R1–R3: a body', () => {
  test.each(['{', '{"a":1', '[1,]', 'undefined', '{"a":1}{"b":2}', "{'a':1}", '\u0000', '{"a":1e}'])(
    'of broken JSON %o is refused',
    async body => {
      expect(await ask('/echo', postJson(body))).toMatchObject({status: 400, body: refusal('BAD_JSON')})
    },
  )

  test('that is empty is refused', async () => {
    expect(await ask('/echo', postJson(''))).toMatchObject({status: 400, body: refusal('BAD_JSON')})
  })

  test.each(['{"__proto__":{"admin":true}}', '{"a":{"__proto__":{}}}', '{"constructor":{"prototype":{"admin":1}}}'])(
    'that reaches for the prototype %o is refused',
    async body => {
      expect(await ask('/echo', postJson(body))).toMatchObject({status: 400, body: refusal('BAD_JSON')})
      expect('admin' in {}).toBe(false)
    },
  )

  test('with repeated keys means the last of them', async () => {
    expect(await ask('/echo', postJson('{"hours":1,"hours":2}'))).toMatchObject({status: 200, body: {hours: 2}})
  })

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/xml'])(
    'of type %s is refused',
    async type => {
      expect(await ask('/echo', postJson('{"hours":1}', type))).toMatchObject({
        status: 415,
        body: refusal('UNSUPPORTED_MEDIA_TYPE'),
      })
    },
  )

  test('without a type is refused', async () => {
    const init = {...postJson(Buffer.from('{}')), headers: {}}
    expect(await ask('/echo', init)).toMatchObject({status: 415, body: refusal('UNSUPPORTED_MEDIA_TYPE')})
  })

  test('may be JSON with a charset', async () => {
    expect(await ask('/echo', postJson('{"name":"Zoë"}', 'application/json; charset=utf-8'))).toMatchObject({
      body: {name: 'Zoë'},
    })
  })
})

describe('R4–R6: a request on the wire', () => {
  const head = (lines: readonly string[]) => `${lines.join('\r\n')}\r\n\r\n`
  const post = (...headers: readonly string[]) =>
    head(['POST /echo HTTP/1.1', 'Host: a', 'Content-Type: application/json', ...headers])

  test.each([
    ['both Content-Length and Transfer-Encoding', post('Content-Length: 5', 'Transfer-Encoding: chunked')],
    ['two lengths', post('Content-Length: 2', 'Content-Length: 3')],
    ['a negative length', post('Content-Length: -1')],
    ['an unknown transfer encoding', post('Transfer-Encoding: gzip')],
    ['a chunk size that is no number', `${post('Transfer-Encoding: chunked')}zz\r\n`],
    ['a space before the colon', head(['GET / HTTP/1.1', 'Host : a'])],
    ['a NUL in a header', head(['GET / HTTP/1.1', 'Host: a', 'X-A: b\0c'])],
    ['a folded header', head(['GET / HTTP/1.1', 'Host: a', 'X-A: b', ' c'])],
    ['no version', 'GET /\r\n\r\n'],
    ['an unknown version', head(['GET / HTTP/9.9', 'Host: a'])],
    ['the greeting of TLS', Buffer.from('1603010200010001fc0303', 'hex')],
    ['noise', Buffer.alloc(64, 0x80)],
  ])('with %s is refused in our form and the connection closed', async (_, bytes) => {
    const {status, headers, body} = parseAnswer(await running.say(bytes, '0\r\n\r\nGET /health/live HTTP/1.1\r\n\r\n'))
    expect(status).toBe(400)
    expect(headers).toMatchObject({connection: 'close', 'x-content-type-options': 'nosniff'})
    expect(JSON.parse(body)).toEqual(refusal('BAD_REQUEST'))
  })

  test('without a host, or with two, is refused', async () => {
    for (const headers of [[], ['Host: a', 'Host: b']]) {
      const bytes = head(['GET /health/live HTTP/1.1', ...headers, 'Connection: close'])
      const {status, body} = parseAnswer(await running.say(bytes))
      expect(status).toBe(400)
      expect(JSON.parse(body)).toEqual(refusal('BAD_REQUEST', {field: 'host'}))
    }
  })

  test('with 32 KB of headers is refused with 431', async () => {
    const {status, body} = parseAnswer(
      await running.say(head(['GET / HTTP/1.1', 'Host: a', `X: ${'x'.repeat(32_768)}`])),
    )
    expect(status).toBe(431)
    expect(JSON.parse(body)).toEqual(refusal('HEADERS_TOO_LARGE'))
  })

  test.each([1_000_000, 1_048_576, 5_000_000])('with a body of %d bytes is refused with 413', async length => {
    const {status, body} = parseAnswer(
      await running.sayOnce(post(`Content-Length: ${length}`), Buffer.alloc(length, 'x')),
    )
    expect(status).toBe(413)
    expect(JSON.parse(body)).toEqual(refusal('BODY_TOO_LARGE'))
  })

  test('with a chunked body that grows beyond the limit is refused with 413', async () => {
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`
    const bytes = await running.sayOnce(post('Transfer-Encoding: chunked'), ...Array.from({length: 17}, () => chunk))
    expect(parseAnswer(bytes).status).toBe(413)
  })

  test('with a body just under a megabyte is read', async () => {
    const body = JSON.stringify({text: 'x'.repeat(999_988)})
    expect(Buffer.byteLength(body)).toBe(999_999)
    expect((await ask('/echo', postJson(body))).status).toBe(200)
  })

  test('with an unknown expectation is refused with 417', async () => {
    const {status, body} = parseAnswer(await running.say(post('Expect: a-pony', 'Content-Length: 2'), '{}'))
    expect(status).toBe(417)
    expect(JSON.parse(body)).toEqual(refusal('EXPECTATION_FAILED'))
  })

  test('leaves the server alive whatever came', async () => {
    for (const bytes of ['\r\n\r\n\r\n', '\0', 'GET', Buffer.alloc(100_000, 0xff)]) {
      const socket = running.open()
      socket.write(bytes)
      socket.end()
      await readToEnd(socket)
    }
    expect((await ask('/health/live')).status).toBe(200)
  })
})

describe('R5: a request that drips', () => {
  test('its headers is answered with 408 and closed', async () => {
    const slow = await startServer({headersTimeoutMs: 300, requestTimeoutMs: 60_000})
    try {
      const socket = slow.open()
      const drip = setInterval(() => socket.writable && socket.write('X-A: b\r\n'), 50)
      socket.write('GET /health/live HTTP/1.1\r\nHost: a\r\n')
      const {status, body} = parseAnswer(await readToEnd(socket))
      clearInterval(drip)
      expect(status).toBe(408)
      expect(JSON.parse(body)).toEqual(refusal('REQUEST_TIMEOUT', {retryable: true}))
    } finally {
      await slow.server.close()
    }
  })

  test('its body is closed', async () => {
    const slow = await startServer({headersTimeoutMs: 200, requestTimeoutMs: 400}, app => {
      app.post('/echo', async request => request.body)
    })
    try {
      const socket = slow.open()
      socket.write('POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{')
      const drip = setInterval(() => socket.writable && socket.write(' '), 50)
      expect(parseAnswer(await readToEnd(socket)).status).toBe(408)
      clearInterval(drip)
    } finally {
      await slow.server.close()
    }
  })
})

describe('R7–R9: a method, a path, an origin', () => {
  test.each([
    ['TRACE', '/echo', 405],
    ['TRACE', '/nowhere', 405],
    ['DELETE', '/echo', 405],
    ['PUT', '/health/live', 405],
    ['POST', '/machines/m-1', 405],
    ['OPTIONS', '/echo', 405],
    ['PROPFIND', '/echo', 501],
    ['PURGE', '/nowhere', 501],
    ['POST', '/nowhere', 404],
    ['GET', '/machines/m-1/more', 404],
    ['BREW', '/echo', 501],
    ['get', '/echo', 501],
    ['CONNECT', 'example.org:443', 405],
  ])('%s %s is answered with %d', async (method, path, status) => {
    const bytes = `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`
    const answer = parseAnswer(await running.say(bytes))
    expect(answer.status).toBe(status)
    const codes: Readonly<Record<number, string>> = {
      404: 'NOT_FOUND',
      405: 'METHOD_NOT_ALLOWED',
      501: 'NOT_IMPLEMENTED',
    }
    expect(JSON.parse(answer.body)).toEqual(refusal(codes[status] ?? ''))
    expect('allow' in answer.headers).toBe(status === 405)
  })

  test('405 tells which methods there are', async () => {
    expect((await ask('/echo', {method: 'DELETE'})).headers.get('allow')).toBe('GET, HEAD, POST')
    expect((await ask('/health/live', {method: 'DELETE'})).headers.get('allow')).toBe('GET, HEAD')
  })

  test.each([
    '/%2e%2e/',
    '/%2e%2e/%2e%2e/etc/passwd',
    '/../../etc/passwd',
    '/..%2f..%2fetc',
    '//evil.example/',
    '/.env',
  ])('%s leads nowhere', async path => {
    const answer = parseAnswer(await running.say(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`))
    expect(answer.status).toBe(404)
    expect(JSON.parse(answer.body)).toEqual(refusal('NOT_FOUND'))
  })

  test.each(['/%zz', '/%', '/machines/%E0%A4%A'])('%s is no address', async path => {
    const answer = parseAnswer(await running.say(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`))
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.body)).toEqual(refusal('BAD_URL'))
    expect(answer.headers).toMatchObject({'x-content-type-options': 'nosniff', 'x-request-id': expect.any(String)})
  })

  test('a parameter that is too long is refused', async () => {
    const {status, body} = await ask(`/machines/${'x'.repeat(101)}`)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
    expect(body).toEqual(refusal(status === 414 ? 'URL_TOO_LONG' : 'NOT_FOUND'))
  })

  test('an origin of others is granted nothing', async () => {
    const headers = {origin: 'https://evil.example', 'access-control-request-method': 'POST'}
    for (const method of ['GET', 'OPTIONS']) {
      const answer = await ask('/echo', {method, headers})
      expect([...answer.headers.keys()].filter(name => name.startsWith('access-control-'))).toEqual([])
    }
  })
})

describe('R10–R11: an address of the client, a parameter', () => {
  const forged = {headers: {'x-forwarded-for': '1.2.3.4', forwarded: 'for=1.2.3.4', 'x-real-ip': '1.2.3.4'}}

  test('X-Forwarded-For of just anybody is not believed', async () => {
    expect(await ask('/ip', forged)).toMatchObject({body: {ip: '127.0.0.1'}})
  })

  test('X-Forwarded-For of a trusted proxy is, up to the first address that is not trusted', async () => {
    const behind = await startServer({trustedProxies: ['127.0.0.0/8']}, app => {
      app.get('/ip', async request => ({ip: request.ip}))
    })
    try {
      const headers = {'x-forwarded-for': '6.6.6.6, 1.2.3.4, 127.0.0.9'}
      const response = await fetch(`${behind.url}/ip`, {headers})
      expect(await response.json()).toEqual({ip: '1.2.3.4'})
    } finally {
      await behind.server.close()
    }
  })

  test('a parameter given twice is refused by name', async () => {
    expect(await ask('/echo?id=1&id=2')).toMatchObject({
      status: 400,
      body: refusal('REPEATED_PARAMETER', {field: 'id'}),
    })
    expect(await ask('/echo?%69d=1&id=2')).toMatchObject({status: 400})
    expect(await ask('/echo?id=1&di=2')).toMatchObject({status: 200, body: {id: '1', di: '2'}})
  })

  test('a parameter named __proto__ changes nothing', async () => {
    await ask('/echo?__proto__[admin]=1&__proto__=2&constructor=3')
    expect('admin' in {}).toBe(false)
  })
})

describe('health', () => {
  test('live says that the process runs, ready that it can work', async () => {
    expect(await ask('/health/live')).toMatchObject({status: 200, body: {status: 'live'}})
    expect(await ask('/health/ready')).toMatchObject({status: 200, body: {status: 'ready'}})
    running.setReady({isReady: false, waitingFor: 'event store'})
    const waiting = await ask('/health/ready')
    expect(waiting).toMatchObject({status: 503, body: refusal('NOT_READY', {retryable: true})})
    expect(waiting.body).toMatchObject({message: 'Waiting for: event store.'})
    expect(waiting.headers.get('retry-after')).toBe('1')
    expect((await ask('/health/live')).status).toBe(200)
  })

  test.each([
    ['throws', () => Promise.reject(new Error('no'))],
    ['never answers', () => Promise.withResolvers<never>().promise],
  ])('is not ready when the check %s', async (_, readiness) => {
    const other = await startServer({readiness})
    try {
      const response = await fetch(`${other.url}/health/ready`)
      expect(response.status).toBe(503)
      expect(await response.json()).toEqual(refusal('NOT_READY', {retryable: true}))
    } finally {
      await other.server.close()
    }
  })
})

describe('closing', () => {
  test('lets a running request finish, and takes no new connection', async () => {
    const started = Promise.withResolvers<void>()
    const finish = Promise.withResolvers<void>()
    const other = await startServer({}, app => {
      app.get('/slow', async () => {
        started.resolve()
        await finish.promise
        return {done: true}
      })
    })
    const slow = fetch(`${other.url}/slow`)
    await started.promise
    const closing = other.server.close()
    const socket = openSocket(other.url)
    expect(await readToEnd(socket)).toBe('')
    finish.resolve()
    expect(await (await slow).json()).toEqual({done: true})
    await closing
  })

  test('does not begin a request that comes in on a busy connection, so that it is safe to try it elsewhere', async () => {
    const started = Promise.withResolvers<void>()
    const closingBegan = Promise.withResolvers<void>()
    const arrived = Promise.withResolvers<void>()
    let quickBegan = false
    const finish = Promise.withResolvers<void>()
    const other = await startServer({}, app => {
      app.get('/slow', async () => {
        started.resolve()
        await finish.promise
        return {done: true}
      })
      app.get('/quick', async () => {
        quickBegan = true
        return {}
      })
      app.addHook('preClose', async () => closingBegan.resolve())
      app.server.on('request', ({url}) => {
        if (url === '/quick') arrived.resolve()
      })
    })
    const socket = other.open()
    socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n')
    await started.promise
    const closing = other.server.close()
    await closingBegan.promise
    socket.write('GET /quick HTTP/1.1\r\nHost: a\r\n\r\n')
    await arrived.promise
    finish.resolve()
    const text = await readToEnd(socket)
    await closing
    expect(text).toContain('{"done":true}')
    expect(parseAnswer(text)).toMatchObject({status: 200, headers: {connection: 'close'}})
    expect(quickBegan).toBe(false)
  })

  test('cuts what is still open at the end of the drain: requests, idle and upgraded sockets', async () => {
    const started = Promise.withResolvers<void>()
    const other = await startServer({drainMs: 200}, app => {
      app.get('/stuck', async () => {
        started.resolve()
        await Promise.withResolvers<never>().promise
      })
      app.server.on('upgrade', (_request, socket) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n')
      })
    })
    const stuck = other.open()
    stuck.write('GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n')
    await started.promise
    const upgraded = other.open()
    upgraded.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n')
    await once(upgraded, 'data')
    const half = other.open()
    half.write('GET /half')
    const ends = Promise.all([stuck, upgraded, half].map(readToEnd))
    await Promise.all([other.server.close(), other.server.close()])
    await ends
    expect(other.log()).toContain('connections cut')
  })
})
