import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {startEngine, type TestEngine, type TestUser} from '../support/engine.ts'
import {ask, authorization, faultOf, post} from './support.ts'

describe('GraphQL in production', () => {
  let engine: TestEngine
  let ann: TestUser
  let operator: TestUser

  beforeAll(async () => {
    engine = await startEngine({
      wrapParts: parts => ({
        ...parts,
        queries: {
          ...parts.queries,
          purchases: {
            ...parts.queries.purchases,
            purchase() {
              throw new Error('SQLITE_BUSY at /var/lib/hourhand/read-models.sqlite on db-7.internal')
            },
          },
        },
      }),
    })
    ann = await engine.addUser('Ann')
    operator = await engine.addUser('Otto', ['operator'])
  })
  afterAll(() => engine.stop())

  const refused = (code: string, status = 400) => ({status, code, retryable: false, hasRequestId: true})
  const nested = (depth: number) => `{ ${'viewer { '.repeat(depth)} id ${'}'.repeat(depth)} }`

  test.each([
    [
      'depth 11',
      `{ viewer { bookings { edges { node { customer { bookings { edges { node { customer { bookings
      { edges { cursor } } } } } } } } } } } }`,
    ],
    ['depth 3,000', nested(3000)],
    [
      'depth 11 by way of fragments',
      `{ viewer { ...A } } fragment A on User { bookings { edges { node { ...B } } } }
      fragment B on Booking { customer { bookings { edges { node { customer { bookings { edges { cursor } } } } } } } }`,
    ],
  ])('G1–G2: %s is refused', async (_, query) => {
    expect(faultOf(await ask(engine, query, {as: ann}))).toMatchObject(refused('DEPTH_LIMIT'))
  })

  test('G1: depth 10 is not', async () => {
    const query = `{ viewer { bookings(first: 1) { edges { node { customer { bookings(first: 1) { edges { node {
      customer { id } } } } } } } } } }`
    expect(await ask(engine, query, {as: ann})).toMatchObject({status: 200, body: {data: {viewer: {}}}})
  })

  const aliases = (count: number) => `{ ${Array.from({length: count}, (_, i) => `a${i}: __typename`).join(' ')} }`

  test.each([[101], [10_000]])('G3–G4: %i aliases are refused', async count => {
    expect(faultOf(await ask(engine, aliases(count)))).toMatchObject(refused('ALIAS_LIMIT'))
  })

  test('G3: 100 aliases are not', async () => {
    const {status, body} = await ask(engine, aliases(100))
    expect({status, count: Object.keys(body.data).length}).toEqual({status: 200, count: 100})
  })

  test('G5: ten unknown directives are answered with at most three errors', async () => {
    const {status, body} = await ask(engine, `{ __typename ${'@nope'.repeat(10)} }`)
    expect(status).toBe(400)
    expect(body.errors.length).toBeLessThanOrEqual(3)
  })

  test('G6: 500 × @skip is refused', async () => {
    const query = `{ __typename ${'@skip(if: false) '.repeat(500)} }`
    expect(faultOf(await ask(engine, query))).toMatchObject(refused('DIRECTIVE_LIMIT'))
  })

  test('G7: circular fragments are refused', async () => {
    const query = '{ viewer { ...A } } fragment A on User { ...B } fragment B on User { ...A }'
    expect(faultOf(await ask(engine, query, {as: ann}))).toMatchObject(refused('INVALID_QUERY'))
  })

  test('G8: 5,000 duplicate fields are refused', async () => {
    expect(faultOf(await ask(engine, `{ ${'__typename '.repeat(5000)} }`))).toMatchObject(refused('TOKEN_LIMIT'))
  })

  test.each([['-1'], ['0'], ['101'], ['2147483647']])('G9: first: %s is refused with the range', async first => {
    const literal = await ask(engine, `{ bookings(first: ${first}) { edges { cursor } } }`, {as: ann})
    const query = 'query ($first: Int) { bookings(first: $first) { edges { cursor } } }'
    const variable = await ask(engine, query, {as: ann, variables: {first: Number(first)}})
    for (const reply of [literal, variable]) {
      expect(faultOf(reply)).toMatchObject({...refused('BAD_INPUT'), field: 'first'})
      expect(reply.body.errors[0].message).toContain('1 to 100')
    }
  })

  test('G10: nested lists over the budget are refused with cost and limit', async () => {
    const query =
      '{ users(first: 100) { edges { node { bookings(first: 100) { edges { node { price { total { currency } } } } } } } } }'
    const reply = await ask(engine, query, {as: operator})
    expect(faultOf(reply)).toMatchObject(refused('COST_LIMIT'))
    expect(reply.body.errors[0].message).toMatch(/costs up to \d{5,}, and the limit is 2000/)
  })

  test('G10: a budget cannot be multiplied by fragments', async () => {
    const many = Array.from({length: 6}, (_, i) => `a${i}: viewer { ...A }`).join(' ')
    const query = `{ ${many} } fragment A on User { bookings(first: 100) { edges { node { ...B } } } }
      fragment B on Booking { price { total { currency } } }`
    expect(faultOf(await ask(engine, query, {as: ann}))).toMatchObject(refused('COST_LIMIT'))
  })

  test('G11: an array of operations is refused', async () => {
    const batch = JSON.stringify(Array.from({length: 10}, () => ({query: '{ __typename }'})))
    expect(faultOf(await post(engine, batch))).toMatchObject(refused('BATCHING'))
  })

  test('G12: 100 aliased mutations count as 100', async () => {
    const calls = (count: number) => {
      const fields = Array.from({length: count}, (_, i) => `m${i}: startCheckout(input: $i) { __typename }`)
      return `mutation ($i: StartCheckoutInput!) { ${fields.join(' ')} }`
    }
    const variables = {i: {idempotencyKey: 'a', packId: 'pack-10h'}}
    const costly = await ask(engine, calls(21), {as: ann, variables})
    expect(faultOf(costly)).toMatchObject(refused('COST_LIMIT'))
    expect(faultOf(await ask(engine, calls(100), {as: ann, variables}))).toMatchObject(refused('TOKEN_LIMIT'))
  })

  test('G13: a mutation by GET is refused', async () => {
    const query = 'mutation { startCheckout(input: {idempotencyKey: "a", packId: "pack-10h"}) { __typename } }'
    const response = await fetch(`${engine.url}/graphql?query=${encodeURIComponent(query)}`, {
      headers: authorization(ann),
    })
    expect({status: response.status, allow: response.headers.get('allow')}).toEqual({status: 405, allow: 'POST'})
    expect(await response.json()).toMatchObject({errors: [{extensions: {code: 'METHOD_NOT_ALLOWED'}}]})
  })

  test('a query by GET is answered', async () => {
    const response = await fetch(`${engine.url}/graphql?query=${encodeURIComponent('{ services { id } }')}`)
    expect(await response.json()).toEqual({data: {services: [{id: 'Service:boss'}, {id: 'Service:ench'}]}})
  })

  test.each([
    ['multipart/form-data; boundary=x', '--x\r\ncontent-disposition: form-data; name="operations"\r\n\r\n{}\r\n--x--'],
    ['text/plain', '{"query":"{ __typename }"}'],
    ['application/graphql', '{ __typename }'],
    ['application/x-www-form-urlencoded', 'query=%7B__typename%7D'],
  ])('G14: a body of type %s is refused', async (type, body) => {
    const reply = await post(engine, body, {headers: {'content-type': type}})
    expect(faultOf(reply)).toMatchObject(refused('UNSUPPORTED_MEDIA_TYPE', 415))
  })

  test('G14: a POST without a body or type is refused, also when the address has an operation', async () => {
    const response = await fetch(`${engine.url}/graphql?query=${encodeURIComponent('{ __typename }')}`, {
      method: 'POST',
    })
    expect(response.status).toBe(415)
  })

  test('an evil Origin gets no grant', async () => {
    const {headers} = await ask(engine, '{ __typename }', {headers: {origin: 'https://evil.example'}})
    expect([...headers.keys()].filter(name => name.startsWith('access-control'))).toEqual([])
  })

  test('G15: introspection is off for everybody but operators, whoever asked before', async () => {
    const query = '{ __schema { queryType { name } } }'
    const schema = {status: 200, body: {data: {__schema: {queryType: {name: 'Query'}}}}}
    expect(await ask(engine, query, {as: operator})).toMatchObject(schema)
    expect(faultOf(await ask(engine, query))).toMatchObject(refused('INTROSPECTION_OFF'))
    expect(faultOf(await ask(engine, query, {as: ann}))).toMatchObject(refused('INTROSPECTION_OFF'))
    expect(await ask(engine, query, {as: operator})).toMatchObject(schema)
  })

  test('G15: mistakes are not answered with names of the schema', async () => {
    const {body} = await ask(engine, '{ servics { id } }')
    expect(body.errors[0].message).toBe('Cannot query field "servics" on type "Query".')
  })

  test('G15: there is no GraphiQL', async () => {
    const response = await fetch(`${engine.url}/graphql`, {headers: {accept: 'text/html'}})
    expect(response.status).toBeGreaterThanOrEqual(400)
    expect(await response.text()).not.toContain('<html')
  })

  test('G16: what a resolver throws is masked, and logged under the id of the request', async () => {
    const reply = await ask(engine, '{ purchase(id: "Purchase:p1") { id } }', {as: ann})
    expect(faultOf(reply)).toMatchObject({status: 500, code: 'INTERNAL', hasRequestId: true})
    expect(JSON.stringify(reply.body)).not.toMatch(/SQLITE|hourhand|internal\b/)
    expect(engine.log()).toContain('SQLITE_BUSY')
    expect(engine.log()).toContain(reply.body.errors[0].extensions.requestId)
  })

  const booking = 'mutation ($input: BookInput!) { book(input: $input) { __typename } }'
  const input = {idempotencyKey: 'k', serviceId: 'ench', realmId: 'EU', start: '2026-11-21T12:00:00Z', minutes: 60}
  const bodyWith = (part: string) => `{"query":${JSON.stringify(booking)},"variables":{"input":{
    "idempotencyKey":"k","serviceId":"ench","realmId":"EU","start":"2026-11-21T12:00:00Z","minutes":60,${part}}}}`

  test.each([
    ['1e999', '"minutes":1e999', 'minutes'],
    ['2^53+1', '"minutes":9007199254740993', 'minutes'],
    ['a fraction', '"minutes":60.5', 'minutes'],
    ['a text for a number', '"minutes":"60"', 'minutes'],
    ['NUL', '"serviceId":"en\\u0000ch"', 'serviceId'],
    ['a lone surrogate', '"idempotencyKey":"\\ud800"', 'idempotencyKey'],
    ['an empty key', '"idempotencyKey":""', 'idempotencyKey'],
    ['a key of 129', `"idempotencyKey":"${'k'.repeat(129)}"`, 'idempotencyKey'],
    ['a day that does not exist', '"start":"2026-02-30T12:00:00Z"', 'start'],
    ['a time without offset', '"start":"2026-11-21T12:00:00"', 'start'],
    ['an id of another type', '"serviceId":"Realm:EU"', 'serviceId'],
    ['a price', '"priceMinor":1', 'priceMinor'],
    ['a role', '"role":"owner"', 'role'],
  ])('G17, B14: %s is refused with the field', async (_, part, field) => {
    expect(faultOf(await post(engine, bodyWith(part), {as: ann}))).toMatchObject({...refused('BAD_INPUT'), field})
  })

  test('G17: a literal of the wrong kind is refused with the field', async () => {
    const literal = (minutes: string) => `mutation { book(input: {idempotencyKey: "k", serviceId: "ench", realmId: "EU",
      start: "2026-11-21T12:00:00Z", ${minutes}}) { __typename } }`
    expect(faultOf(await ask(engine, literal('minutes: 1.5'), {as: ann}))).toMatchObject({field: 'minutes'})
    expect(faultOf(await ask(engine, literal('price: 1, minutes: 60'), {as: ann}))).toMatchObject({field: 'price'})
    expect(faultOf(await ask(engine, literal(''), {as: ann}))).toMatchObject({field: 'minutes'})
  })

  test('a missing field is refused with its name', async () => {
    const {minutes: _, ...rest} = input
    const reply = await ask(engine, booking, {as: ann, variables: {input: rest}})
    expect(faultOf(reply)).toMatchObject({...refused('BAD_INPUT'), field: 'minutes'})
  })

  test('G18: __proto__ in variables is refused and pollutes nothing', async () => {
    const reply = await post(engine, bodyWith('"__proto__":{"polluted":true}'), {as: ann})
    expect(reply.status).toBe(400)
    const query = `mutation { registerMachine(input: {idempotencyKey: "p", machineId: "m9", name: "M", poolId: "eu",
      serviceIds: [], driver: {kind: "simulated", config: {__proto__: {polluted: true}}}}) { __typename } }`
    expect((await ask(engine, query, {as: operator})).status).toBe(400)
    const byGet = `${engine.url}/graphql?query=%7B__typename%7D&variables=${encodeURIComponent('{"__proto__":{"polluted":1}}')}`
    expect((await fetch(byGet)).status).toBe(400)
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })

  test.each([
    ['broken JSON', '{"query":'],
    ['a number', '7'],
    ['no query', '{}'],
    ['a query that is no text', '{"query": 7}'],
    ['variables that are no object', '{"query":"{ __typename }","variables":"x"}'],
    ['unknown parameters', '{"query":"{ __typename }","doc":"x"}'],
    ['an empty document', '{"query":" "}'],
    ['an unknown operation', '{"query":"query A { __typename }","operationName":"B"}'],
  ])('%s is refused with 400', async (_, body) => {
    const reply = await post(engine, body)
    expect(faultOf(reply)).toMatchObject({status: 400, retryable: false, hasRequestId: true})
  })

  test('a value of a megabyte is not sent back in the error, nor does a deeply nested one harm', async () => {
    const long = await post(engine, bodyWith(`"minutes":"${'x'.repeat(900_000)}"`), {as: ann})
    expect(faultOf(long)).toMatchObject({...refused('BAD_INPUT'), field: 'minutes'})
    expect(JSON.stringify(long.body).length).toBeLessThan(3000)
    const deep = await post(engine, bodyWith(`"minutes":${'['.repeat(100_000)}${']'.repeat(100_000)}`), {as: ann})
    expect(deep.status).toBe(400)
    const config = (depth: number): unknown => (depth === 0 ? {} : {a: config(depth - 1)})
    const input = {idempotencyKey: 'd', machineId: 'm8', name: 'M', poolId: 'eu', serviceIds: []}
    const query = 'mutation ($input: RegisterMachineInput!) { registerMachine(input: $input) { __typename } }'
    const variables = {input: {...input, driver: {kind: 'simulated', config: config(50)}}}
    expect(faultOf(await ask(engine, query, {as: operator, variables}))).toMatchObject({field: 'driver.config'})
  })

  test('searching for slots many times in one request is refused', async () => {
    const field = 'availability(serviceId: "ench", realmId: "EU", minutes: 60, from: $f, to: $t) { __typename }'
    const query = `query ($f: DateTime!, $t: DateTime!) { ${[1, 2, 3, 4, 5].map(i => `a${i}: ${field}`).join(' ')} }`
    const variables = {f: '2026-12-01T00:00:00Z', t: '2026-12-02T00:00:00Z'}
    expect(faultOf(await ask(engine, query, {variables}))).toMatchObject(refused('COST_LIMIT'))
  })

  test('an unknown Accept is refused', async () => {
    expect((await ask(engine, '{ __typename }', {headers: {accept: 'image/png'}})).status).toBe(406)
  })

  test('the position header must be a position, and one that is never reached is told in time', async () => {
    const bad = await ask(engine, '{ __typename }', {headers: {'x-hourhand-position': '-1'}})
    expect(faultOf(bad)).toMatchObject({...refused('BAD_INPUT'), field: 'x-hourhand-position'})
    const far = await ask(engine, '{ __typename }', {headers: {'x-hourhand-position': '999999999999999'}})
    expect(faultOf(far)).toMatchObject({status: 503, code: 'UNAVAILABLE', retryable: true})
  })
})

describe('GraphQL in development', () => {
  let engine: TestEngine
  beforeAll(async () => {
    engine = await startEngine({development: true, acting: false})
  })
  afterAll(() => engine.stop())

  test('shows GraphiQL, under a policy of its own', async () => {
    const response = await fetch(`${engine.url}/graphql`, {headers: {accept: 'text/html'}})
    expect(response.status).toBe(200)
    const policy = response.headers.get('content-security-policy')
    expect(policy).toContain("script-src 'unsafe-inline'")
    // Everything is in the page: nobody else's host is asked for anything.
    expect(policy).not.toContain('http')
    expect(await response.text()).toContain('GraphiQL')
  })

  test('answers introspection as deep as its tools ask, and hints at names', async () => {
    const {getIntrospectionQuery} = await import('graphql/index.js')
    const {status, body} = await ask(engine, getIntrospectionQuery())
    expect({status, query: body.data.__schema.queryType.name}).toEqual({status: 200, query: 'Query'})
    const mistake = await ask(engine, '{ servics { id } }')
    expect(mistake.body.errors[0].message).toContain('Did you mean')
  })

  test('masks as in production', async () => {
    const {body} = await ask(engine, '{ services { id } }', {as: 'nonsense'})
    expect(body.errors[0].extensions).toMatchObject({code: 'UNAUTHENTICATED', message: 'Sign in first.'})
  })
})
