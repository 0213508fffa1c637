import {accept, assertNever, refuse, type Decider} from '../kernel/decider.ts'
import type {UserId} from '../kernel/ids.ts'
import {keyCategory, userCategory, type KeyEvent, type Role, type UserEvent} from './events.ts'

export type UserCommand =
  | {
      readonly type: 'RegisterUser'
      readonly userId: UserId
      /** Encrypted under the user's key. */
      readonly displayName: string
      readonly roles: readonly Role[]
    }
  | {readonly type: 'ChangeRoles'; readonly roles: readonly Role[]}
  | {readonly type: 'RedeemSignIn'; readonly tokenId: string}

export type UserRefusal = {readonly type: 'NoSuchUser'} | {readonly type: 'SignInAlreadyUsed'}

export interface User {
  readonly userId: UserId
  readonly roles: readonly Role[]
  /** Links used so far; an expired one is refused by its own signature, so the newest hundred are enough. */
  readonly redeemed: readonly string[]
}

export type UserState = User | null

export const user: Decider<UserState, UserCommand, UserEvent, UserRefusal> = {
  category: userCategory,
  initial: null,

  decide(command, state, {now}) {
    if (command.type === 'RegisterUser') {
      if (state !== null) return accept()
      const {userId, displayName, roles} = command
      return accept({type: 'UserRegistered', data: {userId, displayName, roles: inOrder(roles), at: now}})
    }
    if (state === null) return refuse({type: 'NoSuchUser'})
    const {userId} = state
    switch (command.type) {
      case 'ChangeRoles': {
        const roles = inOrder(command.roles)
        if (roles.join() === state.roles.join()) return accept()
        return accept({type: 'RolesChanged', data: {userId, roles, at: now}})
      }
      case 'RedeemSignIn': {
        const {tokenId} = command
        if (state.redeemed.includes(tokenId)) return refuse({type: 'SignInAlreadyUsed'})
        return accept({type: 'SignInRedeemed', data: {userId, tokenId, at: now}})
      }
      default:
        return assertNever(command)
    }
  },

  evolve(state, event) {
    switch (event.type) {
      case 'UserRegistered':
        return {userId: event.data.userId, roles: event.data.roles, redeemed: []}
      case 'RolesChanged':
        return state === null ? null : {...state, roles: event.data.roles}
      case 'SignInRedeemed':
        return state === null ? null : {...state, redeemed: [...state.redeemed, event.data.tokenId].slice(-100)}
      default:
        return assertNever(event)
    }
  },
}

export interface KeyCommand {
  readonly type: 'CreateUserKey'
  readonly userId: UserId
  readonly keyId: string
  readonly wrappedKey: string
}

export interface UserKey {
  readonly keyId: string
  readonly wrappedKey: string
}

/** The first key stays: everything personal is stored under it. */
export const userKey: Decider<UserKey | null, KeyCommand, KeyEvent, never> = {
  category: keyCategory,
  initial: null,
  decide(command, state) {
    if (state !== null) return accept()
    const {userId, keyId, wrappedKey} = command
    return accept({type: 'UserKeyCreated', data: {userId, keyId, wrappedKey}})
  },
  evolve(_state, event) {
    return {keyId: event.data.keyId, wrappedKey: event.data.wrappedKey}
  },
}

function inOrder(roles: readonly Role[]): Role[] {
  return [...new Set(roles)].sort()
}
