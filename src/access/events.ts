import {z} from 'zod'
import type {UserId} from '../kernel/ids.ts'
import {stored, type EventOf} from '../kernel/messages.ts'

export const userCategory = 'user'
export const keyCategory = 'key'

export function userStream(userId: UserId): string {
  return `${userCategory}-${userId}`
}

/** Holds the one key under which everything personal of this user is stored; deleting the stream erases the person. */
export function keyStream(userId: UserId): string {
  return `${keyCategory}-${userId}`
}

const role = z.enum(['customer', 'operator', 'owner'])
export type Role = z.output<typeof role>
export const allRoles = role.options

export const userEvents = {
  /** `displayName` is encrypted under the user's key. */
  UserRegistered: {
    schema: z.object({userId: stored.id<'User'>(), displayName: z.string(), roles: z.array(role), at: stored.instant}),
  },
  RolesChanged: {schema: z.object({userId: stored.id<'User'>(), roles: z.array(role), at: stored.instant})},
  /** A one-time sign-in link was used. */
  SignInRedeemed: {schema: z.object({userId: stored.id<'User'>(), tokenId: z.string(), at: stored.instant})},
} as const

export const keyEvents = {
  /** The user's data key, wrapped by the master key of the configuration. */
  UserKeyCreated: {schema: z.object({userId: stored.id<'User'>(), keyId: z.string(), wrappedKey: z.string()})},
} as const

export type UserEvent = EventOf<typeof userEvents>
export type KeyEvent = EventOf<typeof keyEvents>
