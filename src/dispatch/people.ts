import type {KeyObject} from 'node:crypto'
import {user, userKey, type User, type UserRefusal} from '../access/decider.ts'
import {keyStream, userStream, type Role} from '../access/events.ts'
import {decryptField, encryptField, newUserKey, unwrapKey, wrapKey} from '../access/personal-data.ts'
import type {RandomBytes} from '../access/secrets.ts'
import type {Tokens} from '../access/tokens.ts'
import type {Handler} from '../event-store/handler.ts'
import {derivedCommandId, derivedUuid, idOf, type CommandId, type UserId} from '../kernel/ids.ts'
import {hasRole, metaOf, type Answer, type Caller} from './caller.ts'
import type {Once} from './once.ts'

export interface RegisterUserRequest {
  readonly idempotencyKey: string
  readonly displayName: string
  readonly roles: readonly Role[]
}

export interface ChangeRolesRequest {
  readonly idempotencyKey: string
  readonly userId: UserId
  readonly roles: readonly Role[]
}

/** Users, their roles, and how they get in. */
export interface People {
  registerUser(caller: Caller, request: RegisterUserRequest): Promise<Answer<User, UserRefusal>>
  changeRoles(caller: Caller, request: ChangeRolesRequest): Promise<Answer<User, UserRefusal>>
  /** A bearer token for any user, for testing and for tools; owners only. */
  issueToken(
    caller: Caller,
    userId: UserId,
  ): Promise<Answer<{readonly token: string; readonly user: User}, UserRefusal>>
  /** Turns a one-time sign-in token into a bearer token; null when it is not valid (any more). */
  redeemSignIn(
    token: string,
    requestId: string,
    arrivedAtMs?: number,
  ): Promise<{readonly accessToken: string; readonly userId: UserId} | null>
  /** Makes sure the owner exists and answers a one-time sign-in token for them. */
  ownerSignIn(): Promise<string>
  /** The name in clear, null when the user's key is gone or does not open it. */
  nameOf(row: {readonly userId: string; readonly sealedName: string; readonly wrappedKey: string | null}): string | null
}

export interface PeopleParts {
  readonly handler: Handler
  readonly tokens: Tokens
  readonly masterKey: KeyObject
  readonly randomBytes: RandomBytes
  readonly once: Once
}

export const ownerId = idOf<'User'>('owner')
const signInTtlSeconds = 15 * 60

export function createPeople({handler, tokens, masterKey, randomBytes, once}: PeopleParts): People {
  /** Encrypts under the user's own key, making it first where there is none. */
  async function seal(caller: Caller, userId: UserId, field: string, clear: string, cause: CommandId): Promise<string> {
    const fresh = newUserKey(randomBytes)
    const wrappedKey = wrapKey(masterKey, fresh, userId, randomBytes)
    const command = {type: 'CreateUserKey', userId, keyId: fresh.keyId, wrappedKey} as const
    const made = await handler.handle(
      userKey,
      keyStream(userId),
      command,
      metaOf(caller, derivedCommandId('key', cause)),
    )
    if (made.state === null) throw new Error(`user ${userId} has no key`)
    const key = unwrapKey(masterKey, made.state.wrappedKey, userId)
    return encryptField({...key, stream: userStream(userId), field}, clear, randomBytes)
  }

  async function register(
    caller: Caller,
    userId: UserId,
    request: {readonly displayName: string; readonly roles: readonly Role[]},
    commandId: CommandId,
  ): Promise<Answer<User, UserRefusal>> {
    const known = await handler.load(user, userStream(userId))
    if (known !== null) return {ok: true, value: known, reached: null}
    const displayName = await seal(caller, userId, 'displayName', request.displayName, commandId)
    const command = {type: 'RegisterUser', userId, displayName, roles: request.roles} as const
    return userAnswer(await handler.handle(user, userStream(userId), command, metaOf(caller, commandId)))
  }

  return {
    async registerUser(caller, request) {
      if (!hasRole(caller, 'operator')) return {ok: false, refusal: {type: 'Forbidden', needs: 'operator'}}
      const isPlain = request.roles.every(role => role === 'customer')
      if (!isPlain && !hasRole(caller, 'owner')) return {ok: false, refusal: {type: 'Forbidden', needs: 'owner'}}
      return once(caller, 'registerUser', request, commandId =>
        register(caller, derivedUuid('user', commandId) as UserId, request, commandId),
      )
    },
    async changeRoles(caller, request) {
      if (!hasRole(caller, 'owner')) return {ok: false, refusal: {type: 'Forbidden', needs: 'owner'}}
      return once(caller, 'changeRoles', request, async commandId => {
        const command = {type: 'ChangeRoles', roles: request.roles} as const
        const stream = userStream(request.userId)
        return userAnswer(await handler.handle(user, stream, command, metaOf(caller, commandId)))
      })
    },
    async issueToken(caller, userId) {
      if (!hasRole(caller, 'owner')) return {ok: false, refusal: {type: 'Forbidden', needs: 'owner'}}
      const known = await handler.load(user, userStream(userId))
      if (known === null) return {ok: false, refusal: {type: 'NoSuchUser'}}
      const token = tokens.issueAccess({userId, roles: known.roles})
      return {ok: true, value: {token, user: known}, reached: null}
    },
    async redeemSignIn(token, requestId, arrivedAtMs) {
      const verified = tokens.verifySignIn(token)
      if (!verified.ok) return null
      const {userId, tokenId} = verified
      const caller: Caller = {userId, roles: [], requestId, arrivedAtMs}
      // Each try is a command of its own, so that the second one is refused rather than taken for a repeat.
      const meta = metaOf(caller, derivedCommandId('redeemSignIn', tokenId, requestId))
      const done = await handler.handle(user, userStream(userId), {type: 'RedeemSignIn', tokenId}, meta)
      if (!done.ok || done.state === null) return null
      return {accessToken: tokens.issueAccess({userId, roles: done.state.roles}), userId}
    },
    async ownerSignIn() {
      const caller: Caller = {userId: ownerId, roles: ['owner'], requestId: 'first-start'}
      const owner = {displayName: 'Owner', roles: ['owner', 'operator', 'customer']} as const
      await register(caller, ownerId, owner, derivedCommandId('registerOwner'))
      return tokens.issueSignIn({userId: ownerId, ttlSeconds: signInTtlSeconds}).token
    },
    nameOf({userId, sealedName, wrappedKey}) {
      if (wrappedKey === null) return null
      const id = idOf<'User'>(userId)
      const key = unwrapKey(masterKey, wrappedKey, id)
      return decryptField({...key, stream: userStream(id), field: 'displayName'}, sealedName)
    },
  }
}

function userAnswer(
  handled:
    | {readonly ok: true; readonly state: User | null; readonly reached: bigint | null}
    | {readonly ok: false; readonly refusal: UserRefusal},
): Answer<User, UserRefusal> {
  if (!handled.ok) return {ok: false, refusal: handled.refusal}
  if (handled.state === null) return {ok: false, refusal: {type: 'NoSuchUser'}}
  return {ok: true, value: handled.state, reached: handled.reached}
}
