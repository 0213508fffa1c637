import {describe, expect, test} from 'vitest'
import {user, userKey, type KeyCommand, type UserCommand} from '../../src/access/decider.ts'
import type {Role, UserEvent} from '../../src/access/events.ts'
import {fold} from '../../src/kernel/decider.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {at, given} from '../support/given.ts'

const now = at('10:00')
const userId = idOf<'User'>('ann')
const register: UserCommand = {type: 'RegisterUser', userId, displayName: 'encrypted', roles: ['customer']}
const registered: UserEvent = {
  type: 'UserRegistered',
  data: {userId, displayName: 'encrypted', roles: ['customer'], at: now},
}
const redeemed = (tokenId: string): UserEvent => ({type: 'SignInRedeemed', data: {userId, tokenId, at: now}})

describe('registering', () => {
  test('makes a user with roles, each once and in order', () => {
    given(user)
      .when({...register, roles: ['owner', 'customer', 'owner']}, now)
      .thenEvents({
        type: 'UserRegistered',
        data: {userId, displayName: 'encrypted', roles: ['customer', 'owner'], at: now},
      })
  })

  test('repeated is quiet, though the name was encrypted anew', () => {
    given(user, registered)
      .when({...register, displayName: 'encrypted again'}, at('11:00'))
      .thenNothing()
  })

  test('comes before anything else', () => {
    given(user)
      .when({type: 'ChangeRoles', roles: ['owner']}, now)
      .thenRefused({type: 'NoSuchUser'})
    given(user).when({type: 'RedeemSignIn', tokenId: 't1'}, now).thenRefused({type: 'NoSuchUser'})
  })
})

describe('changing roles', () => {
  const change = (...roles: Role[]): UserCommand => ({type: 'ChangeRoles', roles})
  const changed = (...roles: Role[]): UserEvent => ({type: 'RolesChanged', data: {userId, roles, at: now}})

  test('replaces them, and none are left when none are named', () => {
    given(user, registered).when(change('operator', 'customer'), now).thenEvents(changed('customer', 'operator'))
    given(user, registered).when(change(), now).thenEvents(changed())
  })

  test('to the same, in whatever order, is quiet', () => {
    given(user, registered).when(change('customer'), now).thenNothing()
    given(user, registered, changed('customer', 'operator')).when(change('operator', 'customer'), now).thenNothing()
  })

  test('counts from the last change', () => {
    expect(given(user, registered, changed('owner'), changed('operator')).state?.roles).toEqual(['operator'])
  })
})

describe('a sign-in link', () => {
  const redeem = (tokenId: string): UserCommand => ({type: 'RedeemSignIn', tokenId})

  test('works once', () => {
    given(user, registered).when(redeem('t1'), now).thenEvents(redeemed('t1'))
    given(user, registered, redeemed('t1')).when(redeem('t1'), now).thenRefused({type: 'SignInAlreadyUsed'})
  })

  test('does not use up another', () => {
    given(user, registered, redeemed('t1')).when(redeem('t2'), now).thenEvents(redeemed('t2'))
  })

  test('is remembered among the newest hundred, and no more are kept', () => {
    const events = Array.from({length: 250}, (_, index) => redeemed(`t${index}`))
    const state = fold(user, given(user, registered).state, events)
    expect(state?.redeemed).toHaveLength(100)
    for (const tokenId of ['t249', 't150']) {
      expect(user.decide(redeem(tokenId), state, {now})).toEqual({ok: false, refusal: {type: 'SignInAlreadyUsed'}})
    }
  })

  test('outlives a change of roles', () => {
    const events: UserEvent[] = [registered, redeemed('t1'), {type: 'RolesChanged', data: {userId, roles: [], at: now}}]
    given(user, ...events)
      .when(redeem('t1'), now)
      .thenRefused({type: 'SignInAlreadyUsed'})
  })
})

describe('a user’s key', () => {
  const create: KeyCommand = {type: 'CreateUserKey', userId, keyId: 'k1', wrappedKey: 'wrapped'}
  const created = {type: 'UserKeyCreated', data: {userId, keyId: 'k1', wrappedKey: 'wrapped'}} as const

  test('is made once: a second would leave what is stored under the first unreadable', () => {
    given(userKey).when(create, now).thenEvents(created)
    const before = given(userKey, created)
    before.when(create, now).thenNothing()
    before.when({...create, keyId: 'k2', wrappedKey: 'other'}, now).thenNothing()
    expect(before.state).toEqual({keyId: 'k1', wrappedKey: 'wrapped'})
  })
})
