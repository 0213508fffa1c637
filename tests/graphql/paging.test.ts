import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {startEngine, type TestEngine, type TestUser} from '../support/engine.ts'
import {ask, book, faultOf, mutate} from './support.ts'

interface Page {
  readonly edges: readonly {readonly cursor: string; readonly node: {readonly [name: string]: unknown}}[]
  readonly pageInfo: {
    readonly hasNextPage: boolean
    readonly hasPreviousPage: boolean
    readonly startCursor: string | null
    readonly endCursor: string | null
  }
}

describe('a connection', () => {
  let engine: TestEngine
  let ann: TestUser
  let operator: TestUser

  beforeAll(async () => {
    engine = await startEngine({machines: 5})
    operator = await engine.addUser('Otto', ['operator'])
    ann = await engine.addUser('Ann')
    for (let count = 0; count < 4; count++) await engine.grant(ann, 600)
    for (let day = 1; day <= 5; day++) await book(engine, ann, {start: `2026-12-0${day}T12:00:00Z`})
    // Two of one start, so that the order needs more than the start.
    await book(engine, ann, {start: '2026-12-05T12:00:00Z'})
    for (let count = 0; count < 5; count++) await mutate(engine, 'startCheckout', {packId: 'pack-10h'}, ann)
    for (const name of ['Ben', 'Cyd', 'Dan']) await engine.addUser(name)
  })
  afterAll(() => engine.stop())

  const page = async (list: string, args: string, node: string, as: TestUser): Promise<Page> => {
    const query = `{ ${list}${args === '' ? '' : `(${args})`} { edges { cursor node { ${node} } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`
    const {body} = await ask(engine, query, {as})
    if (body.errors !== undefined) throw new Error(JSON.stringify(body.errors))
    return body.data[list]
  }

  const lists = (): readonly [list: string, node: string, as: TestUser, count: number][] => [
    ['bookings', 'id start', ann, 6],
    ['ledger', 'kind at minutes availableMinutesAfter', ann, 10],
    ['purchases', 'id', ann, 5],
    ['machines', 'id', operator, 5],
  ]

  test.each([[1], [2], [3], [100]])('reads forwards in pages of %i all there is, once and in order', async first => {
    for (const [list, node, as, count] of lists()) {
      const whole = await page(list, 'first: 100', node, as)
      expect(whole.edges.length, list).toBe(count)
      const seen: Page['edges'][number][] = []
      let last: Page = await page(list, `first: ${first}`, node, as)
      for (seen.push(...last.edges); last.pageInfo.hasNextPage; seen.push(...last.edges)) {
        expect(last.pageInfo.endCursor).toBe(last.edges.at(-1)?.cursor)
        last = await page(list, `first: ${first}, after: "${last.pageInfo.endCursor}"`, node, as)
        expect(last.pageInfo.hasPreviousPage).toBe(true)
      }
      expect(seen, list).toEqual(whole.edges)
    }
  })

  test.each([[1], [2], [3], [100]])('reads backwards in pages of %i all there is, once and in order', async size => {
    for (const [list, node, as] of lists()) {
      const whole = await page(list, 'first: 100', node, as)
      const seen: Page['edges'][number][] = []
      let last: Page = await page(list, `last: ${size}`, node, as)
      for (seen.unshift(...last.edges); last.pageInfo.hasPreviousPage; seen.unshift(...last.edges)) {
        expect(last.pageInfo.startCursor).toBe(last.edges[0]?.cursor)
        last = await page(list, `last: ${size}, before: "${last.pageInfo.startCursor}"`, node, as)
        expect(last.pageInfo.hasNextPage).toBe(true)
      }
      expect(seen, list).toEqual(whole.edges)
    }
  })

  test('reads what lies between two cursors, from either side', async () => {
    for (const [list, node, as] of lists()) {
      const {edges} = await page(list, 'first: 100', node, as)
      const between = `after: "${edges[0]?.cursor}", before: "${edges[4]?.cursor}"`
      expect((await page(list, `first: 100, ${between}`, node, as)).edges, list).toEqual(edges.slice(1, 4))
      expect((await page(list, `first: 2, ${between}`, node, as)).edges, list).toEqual(edges.slice(1, 3))
      expect((await page(list, `last: 2, ${between}`, node, as)).edges, list).toEqual(edges.slice(2, 4))
    }
  })

  test('of bookings begins with the latest start, and can be filtered', async () => {
    const starts = (await page('bookings', '', 'start', ann)).edges.map(({node}) => String(node['start']).slice(8, 10))
    expect(starts).toEqual(['05', '05', '04', '03', '02', '01'])
    const machine = (await page('bookings', '', 'machine { id }', operator)).edges[0]?.node['machine'] as {id: string}
    const onIt = await page('bookings', `machineId: "${machine.id}"`, 'machine { id }', operator)
    expect(new Set(onIt.edges.map(({node}) => (node['machine'] as {id: string}).id))).toEqual(new Set([machine.id]))
    expect((await page('bookings', 'status: CANCELLED', 'id', ann)).edges).toEqual([])
    expect((await page('bookings', 'status: CONFIRMED', 'id', ann)).edges.length).toBe(6)
    expect((await page('bookings', `userId: "${ann.userId}"`, 'id', operator)).edges.length).toBe(6)
  })

  test('of the ledger tells every movement and the balance after it', async () => {
    const {edges} = await page('ledger', 'last: 2', 'kind minutes availableMinutesAfter heldMinutesAfter', ann)
    expect(edges.map(({node}) => node)).toEqual([
      {kind: 'GRANTED', minutes: 600, availableMinutesAfter: 1200, heldMinutesAfter: 0},
      {kind: 'GRANTED', minutes: 600, availableMinutesAfter: 600, heldMinutesAfter: 0},
    ])
  })

  test('of users is read forwards only, with names in clear', async () => {
    const names: unknown[] = []
    let last = await page('users', 'first: 2', 'displayName', operator)
    for (names.push(...last.edges); last.pageInfo.hasNextPage; names.push(...last.edges)) {
      last = await page('users', `first: 2, after: "${last.pageInfo.endCursor}"`, 'displayName', operator)
    }
    expect(names.length).toBe(5)
    expect(JSON.stringify(names)).toContain('"Cyd"')
    const reply = await ask(engine, '{ users(last: 2) { edges { cursor } } }', {as: operator})
    expect(faultOf(reply)).toMatchObject({status: 400, code: 'BAD_INPUT', field: 'last'})
  })

  test('that is empty has no cursors', async () => {
    const ben = await engine.addUser('Ben')
    expect(await page('bookings', '', 'id', ben)).toEqual({
      edges: [],
      pageInfo: {hasNextPage: false, hasPreviousPage: false, startCursor: null, endCursor: null},
    })
  })

  test.each([
    ['first: 1, last: 1', 'last'],
    ['after: "nonsense"', 'after'],
    [`before: "${Buffer.from('["x"]').toString('base64url')}"`, 'before'],
    [`after: "${'A'.repeat(600)}"`, 'after'],
    ['last: 0', 'last'],
  ])('refuses %s, naming %s', async (args, field) => {
    for (const [list] of lists().slice(0, 2)) {
      const reply = await ask(engine, `{ ${list}(${args}) { edges { cursor } } }`, {as: ann})
      expect(faultOf(reply), list).toMatchObject({status: 400, code: 'BAD_INPUT', field})
    }
  })

  test('gives nodes that can be asked for again by their id', async () => {
    const cases: readonly [string, TestUser, string][] = [
      ['bookings', ann, 'Booking'],
      ['purchases', ann, 'Purchase'],
      ['machines', operator, 'Machine'],
      ['users', operator, 'User'],
    ]
    for (const [list, as, type] of cases) {
      const id = (await page(list, 'first: 1', 'id', as)).edges[0]?.node['id']
      const {body} = await ask(engine, 'query ($id: ID!) { node(id: $id) { __typename id } }', {as, variables: {id}})
      expect(body.data.node).toEqual({__typename: type, id})
    }
    for (const id of ['Service:ench', 'Realm:EU', 'Pack:pack-10h']) {
      const {body} = await ask(engine, 'query ($id: ID!) { node(id: $id) { id } }', {variables: {id}})
      expect(body.data.node).toEqual({id})
    }
  })
})
