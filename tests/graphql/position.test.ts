import {expect, onTestFinished, test} from 'vitest'
import {startEngine} from '../support/engine.ts'
import {ask} from './support.ts'

test('a user who is as new as the position is waited for, not turned away', async () => {
  let knows = false
  const engine = await startEngine({
    // A node whose read models hold the user only once somebody waited for the position.
    wrapParts: parts => ({
      ...parts,
      queries: {
        ...parts.queries,
        users: {...parts.queries.users, user: id => (knows ? parts.queries.users.user(id) : null)},
      },
      waitFor: async (commit, timeoutMs) => {
        const isThere = await parts.waitFor(commit, timeoutMs)
        knows = true
        return isThere
      },
    }),
  })
  onTestFinished(() => engine.stop())
  const ann = await engine.addUser('Ann')
  expect(await ask(engine, '{ viewer { id } }', {as: ann})).toMatchObject({status: 401})
  const headers = {'x-hourhand-position': '0'}
  const {status, body} = await ask(engine, '{ viewer { id } }', {as: ann, headers})
  expect({status, body}).toEqual({status: 200, body: {data: {viewer: {id: `User:${ann.userId}`}}}})
})

test('nobody is kept waiting for a position who brings a token that is none', async () => {
  const waited: bigint[] = []
  const engine = await startEngine({
    wrapParts: parts => ({
      ...parts,
      waitFor: (commit, timeoutMs) => {
        waited.push(commit)
        return parts.waitFor(commit, timeoutMs)
      },
    }),
  })
  onTestFinished(() => engine.stop())
  const headers = {'x-hourhand-position': '999999999999999', authorization: 'Bearer forged'}
  expect(await ask(engine, '{ viewer { id } }', {headers})).toMatchObject({status: 401})
  expect(waited).not.toContain(999999999999999n)
})
