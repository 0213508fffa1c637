import type {DatabaseSync} from 'node:sqlite'
import type {Role} from '../src/access/events.ts'
import type {Projection} from './projection.ts'

/**
 * Who is known, with names as stored: encrypted under each user's key. The key's row is beside them, wrapped as well,
 * so that this file alone gives nobody's name away and a deleted key takes the name with it.
 */
export const users: Projection = {
  name: 'users',
  version: 1,
  tables: ['users', 'user_keys'],
  ddl: `
    CREATE TABLE users (
      user_id TEXT PRIMARY KEY,
      sealed_name TEXT NOT NULL,
      roles TEXT NOT NULL,
      registered_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE user_keys (
      user_id TEXT PRIMARY KEY,
      key_id TEXT NOT NULL,
      wrapped_key TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
  `,
  open(db) {
    const register = db.prepare('INSERT INTO users VALUES (?, ?, ?, ?)')
    const changeRoles = db.prepare('UPDATE users SET roles = ? WHERE user_id = ?')
    const addKey = db.prepare('INSERT INTO user_keys VALUES (?, ?, ?)')
    return ({event}) => {
      switch (event.type) {
        case 'UserRegistered': {
          const {userId, displayName, roles, at} = event.data
          register.run(userId, displayName, JSON.stringify(roles), at)
          return
        }
        case 'RolesChanged':
          changeRoles.run(JSON.stringify(event.data.roles), event.data.userId)
          return
        case 'UserKeyCreated':
          addKey.run(event.data.userId, event.data.keyId, event.data.wrappedKey)
          return
        default:
      }
    }
  },
}

export interface UserRow {
  readonly userId: string
  readonly sealedName: string
  readonly wrappedKey: string | null
  readonly roles: readonly Role[]
  readonly registeredAt: string
}

export interface UserQueries {
  user(userId: string): UserRow | null
  /** By id, after `afterId` (null: from the first), at most `limit`. */
  users(afterId: string | null, limit: number): readonly UserRow[]
}

export function userQueries(db: DatabaseSync): UserQueries {
  const columns = `
    SELECT users.user_id, sealed_name, wrapped_key, roles, registered_at
    FROM users LEFT JOIN user_keys ON user_keys.user_id = users.user_id`
  const one = db.prepare(`${columns} WHERE users.user_id = ?`)
  const page = db.prepare(`${columns} WHERE users.user_id > ? ORDER BY users.user_id LIMIT ? + 0`)
  return {
    user(userId) {
      const row = one.get(userId)
      return row === undefined ? null : toUser(row)
    },
    users: (afterId, limit) => page.all(afterId ?? '', limit).map(toUser),
  }
}

function toUser(row: Record<string, unknown>): UserRow {
  return {
    userId: String(row['user_id']),
    sealedName: String(row['sealed_name']),
    wrappedKey: typeof row['wrapped_key'] === 'string' ? row['wrapped_key'] : null,
    roles: JSON.parse(String(row['roles'])) as Role[],
    registeredAt: String(row['registered_at']),
  }
}
