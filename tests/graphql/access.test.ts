import {createHmac, randomUUID} from 'node:crypto'
import jwt from 'jsonwebtoken'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {startEngine, type TestEngine, type TestUser} from '../support/engine.ts'
import {ask, book, faultOf, mutate} from './support.ts'

describe('who may see and do what over GraphQL', () => {
  let engine: TestEngine
  let ann: TestUser
  let ben: TestUser
  let operator: TestUser
  let owner: TestUser
  let bookingId: string
  let purchaseId: string

  beforeAll(async () => {
    engine = await startEngine()
    ann = await engine.addUser('Ann')
    ben = await engine.addUser('Ben')
    operator = await engine.addUser('Otto', ['operator'])
    owner = await engine.addUser('Olga', ['owner'])
    await engine.grant(ann, 600)
    bookingId = (await book(engine, ann, {start: '2026-12-01T12:00:00Z'})).booking.id
    const fields = '... on StartCheckoutSuccess { purchase { id } }'
    purchaseId = (await mutate(engine, 'startCheckout', {packId: 'pack-10h'}, ann, fields)).purchase.id
  })
  afterAll(() => engine.stop())

  describe('without a token', () => {
    test('the catalogue, the policy and availability are answered', async () => {
      const query = `{ services { name } realms { name } packs { name } bookingPolicy { minutesMin }
        quote(serviceId: "ench", minutes: 60) { __typename }
        availability(serviceId: "ench", realmId: "EU", minutes: 60, from: "2026-12-01T12:00:00Z",
          to: "2026-12-01T13:00:00Z") { __typename }
        node(id: "Service:ench") { id } }`
      const {status, body} = await ask(engine, query)
      expect({status, errors: body.errors}).toEqual({status: 200, errors: undefined})
    })

    test.each([
      ['{ viewer { id } }'],
      ['{ bookings { edges { cursor } } }'],
      ['{ booking(id: "Booking:x") { id } }'],
      ['{ ledger { edges { cursor } } }'],
      ['{ purchases { edges { cursor } } }'],
      ['{ purchase(id: "Purchase:x") { id } }'],
      ['{ users { edges { cursor } } }'],
      ['{ machines { edges { cursor } } }'],
      ['{ machine(id: "Machine:eu-1") { id } }'],
      ['{ node(id: "Booking:x") { id } }'],
      ['{ node(id: "Machine:eu-1") { id } }'],
      ['{ node(id: "User:x") { id } }'],
      ['mutation { startCheckout(input: {idempotencyKey: "a", packId: "pack-10h"}) { __typename } }'],
      ['mutation { cancelBooking(input: {idempotencyKey: "a", bookingId: "b"}) { __typename } }'],
    ])('%s is not', async query => {
      expect(faultOf(await ask(engine, query))).toMatchObject({code: 'UNAUTHENTICATED', retryable: false})
    })
  })

  describe('A1–A10: a token', () => {
    const parts = () => ann.token().split('.')
    const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const claims = (change: object) => {
      const [, payload = ''] = parts()
      return encoded({...(JSON.parse(Buffer.from(payload, 'base64url').toString()) as object), ...change})
    }
    const header = (change: object) => {
      const [first = ''] = parts()
      return encoded({...(JSON.parse(Buffer.from(first, 'base64url').toString()) as object), ...change})
    }

    test.each<[string, () => string]>([
      ['with alg none', () => `${header({alg: 'none'})}.${parts()[1]}.`],
      [
        'signed with a key of the sender’s own',
        () => jwt.sign({sub: ann.userId}, 'x'.repeat(32), {keyid: 'development'}),
      ],
      ['of another algorithm', () => `${header({alg: 'HS512'})}.${parts()[1]}.${parts()[2]}`],
      ['with a kid that is a path', () => `${header({kid: '../../dev/null'})}.${parts()[1]}.${parts()[2]}`],
      ['with the kid __proto__', () => `${header({kid: '__proto__'})}.${parts()[1]}.${parts()[2]}`],
      ['with an embedded key', () => `${header({jwk: {kty: 'oct', k: 'eA'}})}.${parts()[1]}.${parts()[2]}`],
      ['with an unknown crit', () => `${header({crit: ['exp']})}.${parts()[1]}.${parts()[2]}`],
      ['with other roles than were signed', () => `${parts()[0]}.${claims({roles: ['owner']})}.${parts()[2]}`],
      ['with a padded signature', () => `${ann.token()}=`],
      ['of over 8 KB', () => `${ann.token()}${'A'.repeat(9000)}`],
      ['that is none', () => 'nonsense'],
      ['for signing in', () => engine.tokens.issueSignIn({userId: ann.userId, ttlSeconds: 60}).token],
      ['of a user nobody knows', () => engine.tokens.issueAccess({userId: 'ghost' as never, roles: ['owner']})],
      [
        'signed over no claims',
        () => {
          const text = `${parts()[0]}.${encoded({})}`
          return `${text}.${createHmac('sha256', 'x').update(text).digest('base64url')}`
        },
      ],
    ])('%s is refused with 401, also for what is public', async (_, token) => {
      const reply = await ask(engine, '{ services { id } }', {as: token()})
      expect(faultOf(reply)).toMatchObject({status: 401, code: 'UNAUTHENTICATED', retryable: false, hasRequestId: true})
      expect(reply.headers.get('www-authenticate')).toBe('Bearer')
      expect(reply.body.data).toBeUndefined()
    })

    test.each([['Basic YTpi'], ['Bearer'], ['Bearer  a b'], ['']])(
      'in the form "%s" is refused',
      async authorization => {
        const {status} = await ask(engine, '{ services { id } }', {headers: {authorization}})
        expect(status).toBe(401)
      },
    )

    test('is refused once it has expired, at most a minute late', async () => {
      const started = engine.clock.now()
      const token = ann.token(60)
      expect((await ask(engine, '{ viewer { id } }', {as: token})).status).toBe(200)
      engine.clock.advance(121_000)
      expect((await ask(engine, '{ viewer { id } }', {as: token})).status).toBe(401)
      engine.clock.set(started)
      expect(engine.log()).toContain('token refused')
      expect(engine.log()).not.toContain(token)
    })

    test('A13: gives the roles of now, not of when it was made', async () => {
      const temp = await engine.addUser('Temp', ['operator'])
      const token = temp.token()
      expect((await ask(engine, '{ machines { edges { cursor } } }', {as: token})).status).toBe(200)
      await mutate(engine, 'changeRoles', {userId: temp.userId, roles: ['CUSTOMER']}, owner)
      expect(faultOf(await ask(engine, '{ machines { edges { cursor } } }', {as: token}))).toMatchObject({
        code: 'FORBIDDEN',
      })
    })
  })

  describe('G19–G21: another’s', () => {
    const notFound = {code: 'NOT_FOUND', retryable: false}

    test.each([
      ['booking', (id: string) => `{ booking(id: "${id}") { id } }`, () => bookingId, 'Booking:nope'],
      ['booking as a node', (id: string) => `{ node(id: "${id}") { id } }`, () => bookingId, 'Booking:nope'],
      ['purchase', (id: string) => `{ purchase(id: "${id}") { id } }`, () => purchaseId, 'Purchase:nope'],
      ['purchase as a node', (id: string) => `{ node(id: "${id}") { id } }`, () => purchaseId, 'Purchase:nope'],
      ['self as a node', (id: string) => `{ node(id: "${id}") { id } }`, () => `User:${ann.userId}`, 'User:nope'],
      ['bookings', (id: string) => `{ bookings(userId: "${id}") { edges { cursor } } }`, () => ann.userId, 'nope'],
      ['ledger', (id: string) => `{ ledger(userId: "${id}") { edges { cursor } } }`, () => ann.userId, 'nope'],
      ['purchases', (id: string) => `{ purchases(userId: "${id}") { edges { cursor } } }`, () => ann.userId, 'nope'],
    ])('%s is answered like one that does not exist', async (_, query, foreign, unknown) => {
      const [real, none] = [
        await ask(engine, query(foreign()), {as: ben}),
        await ask(engine, query(unknown), {as: ben}),
      ]
      expect(faultOf(real)).toMatchObject(notFound)
      expect({...faultOf(none), message: none.body.errors[0].message}).toEqual({
        ...faultOf(real),
        message: real.body.errors[0].message,
      })
      expect((await ask(engine, query(foreign()), {as: ann})).body.errors).toBeUndefined()
      expect((await ask(engine, query(foreign()), {as: operator})).body.errors).toBeUndefined()
    })

    test('booking cannot be cancelled, and is not told from one that does not exist', async () => {
      const cancel = (id: string) => mutate(engine, 'cancelBooking', {bookingId: id}, ben)
      expect(await cancel(bookingId)).toMatchObject({__typename: 'NoSuchBooking', code: 'NOT_FOUND'})
      expect(await cancel(bookingId)).toEqual(await cancel('Booking:nope'))
    })

    test('bookings are not among one’s own', async () => {
      const query = '{ bookings { edges { node { id } } } viewer { bookings { edges { node { id } } } } }'
      const {body} = await ask(engine, query, {as: ben})
      expect(body.data).toEqual({bookings: {edges: []}, viewer: {bookings: {edges: []}}})
      const all = await ask(engine, query, {as: operator})
      expect(all.body.data.bookings.edges).toEqual([{node: {id: bookingId}}])
    })

    test.each([['users { edges { cursor } }'], ['machines { edges { cursor } }'], ['machine(id: "eu-1") { id }']])(
      'what is for operators, %s, is forbidden to customers',
      async query => {
        expect(faultOf(await ask(engine, `{ ${query} }`, {as: ben}))).toMatchObject({status: 403, code: 'FORBIDDEN'})
      },
    )

    test('of own and foreign nodes the own ones are answered', async () => {
      const query = 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }'
      const variables = {ids: [`User:${ben.userId}`, bookingId, 'Service:ench']}
      const {status, body} = await ask(engine, query, {as: ben, variables})
      expect(status).toBe(200)
      expect(body.data.nodes).toEqual([{id: `User:${ben.userId}`}, null, {id: 'Service:ench'}])
      expect(body.errors).toBeUndefined()
    })

    test.each([['nonsense'], ['Booking:'], ['Balance:x'], ['Query:x'], [':x'], ['Booking:../x'], ['__proto__:x']])(
      'the node id %s is refused',
      async id => {
        const {body} = await ask(engine, 'query ($id: ID!) { node(id: $id) { id } }', {as: ben, variables: {id}})
        expect(body.data?.node ?? null).toBeNull()
        expect(['BAD_INPUT', 'NOT_FOUND']).toContain(body.errors[0].extensions.code)
      },
    )
  })

  describe('mutations of operators and owners', () => {
    const calls = (): [name: string, input: object, needs: string][] => [
      ['grantHours', {userId: ben.userId, minutes: 60, reason: 'gift'}, 'OPERATOR'],
      ['markCheckoutPaid', {purchaseId}, 'OPERATOR'],
      [
        'registerMachine',
        {machineId: 'm9', name: 'M', poolId: 'eu', serviceIds: ['ench'], driver: {kind: 'simulated', config: {}}},
        'OPERATOR',
      ],
      ['liftQuarantine', {machineId: 'eu-1'}, 'OPERATOR'],
      ['registerUser', {displayName: 'New', roles: ['CUSTOMER']}, 'OPERATOR'],
      ['changeRoles', {userId: ben.userId, roles: ['OWNER']}, 'OWNER'],
      ['issueToken', {userId: owner.userId}, 'OWNER'],
      ['listService', {serviceId: 's9', name: 'S', pricePerHour: {amountMinor: 1, currency: 'USD'}}, 'OWNER'],
      ['listRealm', {realmId: 'r9', name: 'R', poolId: 'eu'}, 'OWNER'],
      ['listPack', {packId: 'p9', name: 'P', minutes: 60, price: {amountMinor: 1, currency: 'USD'}}, 'OWNER'],
      ['setDiscount', {minutesMin: 600, percent: 10}, 'OWNER'],
    ]

    test('are forbidden to customers, and those of owners to operators', async () => {
      for (const [name, input, needs] of calls()) {
        const fields = '... on Forbidden { needs }'
        const forbidden = {__typename: 'Forbidden', code: 'FORBIDDEN', needs}
        expect(await mutate(engine, name, {...input}, ben, fields), name).toMatchObject(forbidden)
        if (needs === 'OWNER')
          expect(await mutate(engine, name, {...input}, operator, fields), name).toMatchObject(forbidden)
      }
    })

    test('are done for those who may', async () => {
      for (const [name, input, needs] of calls()) {
        const answer = await mutate(engine, name, {...input}, needs === 'OWNER' ? owner : operator)
        expect(answer.__typename, name).toBe(`${name[0]?.toUpperCase()}${name.slice(1)}Success`)
      }
    })

    test('operators register customers, and only owners anybody else', async () => {
      const input = {displayName: 'Boss', roles: ['OWNER']}
      expect(await mutate(engine, 'registerUser', input, operator, '... on Forbidden { needs }')).toMatchObject({
        needs: 'OWNER',
      })
      const fields = '... on RegisterUserSuccess { user { id displayName roles } }'
      expect((await mutate(engine, 'registerUser', input, owner, fields)).user).toMatchObject({
        displayName: 'Boss',
        roles: ['OWNER'],
      })
    })

    test('a token that an owner issued works', async () => {
      const fields = '... on IssueTokenSuccess { token user { displayName } }'
      const {token} = await mutate(engine, 'issueToken', {userId: `User:${ann.userId}`}, owner, fields)
      const {body} = await ask(engine, '{ viewer { displayName } }', {as: token})
      expect(body.data.viewer.displayName).toBe('Ann')
      expect(engine.log()).not.toContain(token)
    })
  })

  describe('refusals of what does not fit', () => {
    const refusal = async (name: string, input: object, as: TestUser, fields = '') => {
      const answer = await mutate(engine, name, {...input}, as, fields)
      expect(answer.message).toEqual(expect.any(String))
      return answer
    }

    test('unknown things', async () => {
      expect(await refusal('startCheckout', {packId: 'nope'}, ann)).toMatchObject({
        code: 'UNKNOWN_PACK',
        field: 'packId',
      })
      expect(await refusal('markCheckoutPaid', {purchaseId: 'nope'}, operator)).toMatchObject({
        __typename: 'NoSuchPurchase',
        code: 'NOT_FOUND',
      })
      expect(await refusal('grantHours', {userId: 'nope', minutes: 1, reason: 'r'}, operator)).toMatchObject({
        __typename: 'NoSuchUser',
        code: 'NOT_FOUND',
      })
      expect(await refusal('changeRoles', {userId: 'nope', roles: []}, owner)).toMatchObject({__typename: 'NoSuchUser'})
      expect(await refusal('issueToken', {userId: 'nope'}, owner)).toMatchObject({__typename: 'NoSuchUser'})
      expect(await refusal('liftQuarantine', {machineId: 'nope'}, operator)).toMatchObject({
        __typename: 'NoSuchMachine',
      })
      expect(await refusal('cancelBooking', {bookingId: 'nope'}, ann)).toMatchObject({__typename: 'NoSuchBooking'})
    })

    test('an amount that is not the price', async () => {
      const fields = '... on StartCheckoutSuccess { purchase { id } }'
      const {purchase} = await mutate(engine, 'startCheckout', {packId: 'pack-10h'}, ben, fields)
      const amount = {amountMinor: 9400, currency: 'USD'}
      const mismatch = '... on AmountMismatch { expected { amountMinor } received { amountMinor } }'
      expect(await refusal('markCheckoutPaid', {purchaseId: purchase.id, amount}, operator, mismatch)).toMatchObject({
        code: 'AMOUNT_MISMATCH',
        expected: {amountMinor: 9500},
        received: {amountMinor: 9400},
      })
    })

    test('a payment marked twice credits once', async () => {
      const fields = '... on StartCheckoutSuccess { purchase { id } }'
      const {purchase} = await mutate(engine, 'startCheckout', {packId: 'pack-10h'}, ben, fields)
      const before = (await ask(engine, '{ viewer { balance { availableMinutes } } }', {as: ben})).body.data.viewer
        .balance
      const pay = () => mutate(engine, 'markCheckoutPaid', {purchaseId: purchase.id}, operator)
      expect((await Promise.all([pay(), pay(), pay()])).map(({__typename}) => __typename)).toEqual(
        Array.from({length: 3}, () => 'MarkCheckoutPaidSuccess'),
      )
      await engine.settled()
      const {body} = await ask(engine, '{ viewer { balance { availableMinutes } } }', {as: ben})
      expect(body.data.viewer.balance.availableMinutes - before.availableMinutes).toBe(600)
    })

    test('machines that exist, unknown drivers and bad settings', async () => {
      const machine = {machineId: 'eu-1', name: 'M', poolId: 'eu', serviceIds: ['ench']}
      const simulated = {kind: 'simulated', config: {}}
      expect(
        await refusal(
          'registerMachine',
          {...machine, driver: simulated},
          operator,
          '... on MachineExists { machineId }',
        ),
      ).toMatchObject({code: 'MACHINE_EXISTS', machineId: 'Machine:eu-1'})
      expect(
        await refusal(
          'registerMachine',
          {...machine, driver: {kind: 'nope', config: {}}},
          operator,
          '... on UnknownDriver { known }',
        ),
      ).toMatchObject({code: 'UNKNOWN_DRIVER', field: 'driver.kind', known: ['simulated']})
      const bad = {kind: 'simulated', config: {bootSeconds: 'soon'}}
      expect(
        await refusal(
          'registerMachine',
          {...machine, driver: bad},
          operator,
          '... on BadDriverConfig { faults { field message } }',
        ),
      ).toMatchObject({code: 'BAD_DRIVER_CONFIG', faults: [{field: 'bootSeconds'}]})
    })

    test('a realm that would change its pool', async () => {
      expect(
        await refusal(
          'listRealm',
          {realmId: 'EU', name: 'Europe', poolId: 'other'},
          owner,
          '... on RealmHasOtherPool { poolId }',
        ),
      ).toMatchObject({code: 'REALM_HAS_OTHER_POOL', poolId: 'eu'})
    })

    test('a service that no machine of the realm offers', async () => {
      const service = {serviceId: 'new', name: 'New', pricePerHour: {amountMinor: 100, currency: 'USD'}}
      await mutate(engine, 'listService', service, owner)
      expect(
        await book(
          engine,
          ann,
          {serviceId: 'new', start: '2026-12-02T12:00:00Z'},
          '... on NoMachineServes { service { id } }',
        ),
      ).toMatchObject({code: 'NO_MACHINE_SERVES', service: {id: 'Service:new'}})
    })

    test.each([
      ['listService', {serviceId: 's', name: 'x'.repeat(101), pricePerHour: {amountMinor: 1, currency: 'USD'}}, 'name'],
      ['listService', {serviceId: 's', name: 'a\u0000b', pricePerHour: {amountMinor: 1, currency: 'USD'}}, 'name'],
      ['listService', {serviceId: 's', name: ' ', pricePerHour: {amountMinor: 1, currency: 'USD'}}, 'name'],
      ['listService', {serviceId: 's', name: 'S', pricePerHour: {amountMinor: -1, currency: 'USD'}}, 'pricePerHour'],
      ['listService', {serviceId: 's', name: 'S', pricePerHour: {amountMinor: 0.5, currency: 'USD'}}, 'pricePerHour'],
      [
        'listService',
        {serviceId: 's', name: 'S', pricePerHour: {amountMinor: 1, currency: 'QQQ'}},
        'pricePerHour.currency',
      ],
      ['listPack', {packId: 'p', name: 'P', minutes: 0, price: {amountMinor: 1, currency: 'USD'}}, 'minutes'],
      ['setDiscount', {minutesMin: 0, percent: 101}, 'percent'],
      ['registerUser', {displayName: '\ud800', roles: []}, 'displayName'],
    ])('%s with a wrong %o', async (name, input, field) => {
      const type = `${name[0]?.toUpperCase()}${name.slice(1)}Input`
      const query = `mutation ($input: ${type}!) { ${name}(input: $input) { __typename } }`
      const variables = {input: {idempotencyKey: randomUUID(), ...input}}
      expect(faultOf(await ask(engine, query, {as: owner, variables}))).toMatchObject({
        status: 400,
        code: 'BAD_INPUT',
        field,
      })
    })
  })
})

describe('with little notice', () => {
  test('a booking is refused, telling when it could start', async () => {
    const engine = await startEngine({policy: {noticeMinutesMin: 120}})
    const ann = await engine.addUser('Ann')
    await engine.grant(ann, 60)
    expect(
      await book(engine, ann, {start: '2026-11-21T11:00:00Z'}, '... on NoticeTooShort { earliest }'),
    ).toMatchObject({
      __typename: 'NoticeTooShort',
      code: 'NOTICE_TOO_SHORT',
      field: 'start',
      earliest: '2026-11-21T12:00:00.000Z',
    })
    await engine.stop()
  })
})

describe('when the store fails', () => {
  test('a command is answered as unavailable, retryable, without details; the same key works afterwards', async () => {
    let isDown = false
    const engine = await startEngine({
      acting: false,
      wrapStore: store => ({
        ...store,
        append(...args) {
          if (!isDown) return store.append(...args)
          const error = new Error('connect ECONNREFUSED 10.0.0.7:2113')
          error.name = 'StoreUnavailable'
          return Promise.reject(error)
        },
      }),
    })
    const ann = await engine.addUser('Ann')
    const query = 'mutation ($input: StartCheckoutInput!) { startCheckout(input: $input) { __typename } }'
    const variables = {input: {idempotencyKey: 'k', packId: 'pack-10h'}}
    isDown = true
    const reply = await ask(engine, query, {as: ann, variables})
    expect(faultOf(reply)).toMatchObject({status: 503, code: 'UNAVAILABLE', retryable: true, hasRequestId: true})
    expect(JSON.stringify(reply.body)).not.toContain('10.0.0.7')
    isDown = false
    expect((await ask(engine, query, {as: ann, variables})).body.data.startCheckout.__typename).toBe(
      'StartCheckoutSuccess',
    )
    await engine.stop()
  })
})

describe('when the read models are slow', () => {
  test('a mutation answers in time, without what it cannot read back, and says where to find it', async () => {
    const engine = await startEngine({
      acting: false,
      wrapParts: parts => ({
        ...parts,
        waitFor: () => Promise.resolve(false),
        queries: {...parts.queries, purchases: {...parts.queries.purchases, purchase: () => null}},
      }),
    })
    const ann = await engine.addUser('Ann')
    const fields = '... on StartCheckoutSuccess { purchase { id } position }'
    const answer = await mutate(engine, 'startCheckout', {packId: 'pack-10h'}, ann, fields)
    expect(answer).toEqual({
      __typename: 'StartCheckoutSuccess',
      purchase: null,
      position: expect.stringMatching(/^\d+$/),
    })
    await engine.stop()
  })
})
