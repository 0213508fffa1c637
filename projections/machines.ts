import type {DatabaseSync} from 'node:sqlite'
import type {Projection} from './projection.ts'

/** Machines as operators see them: registration, what is wanted, what was seen. */
export const machines: Projection = {
  name: 'machines',
  version: 2,
  tables: ['machines'],
  ddl: `
    CREATE TABLE machines (
      machine_id TEXT PRIMARY KEY,
      name TEXT NOT NULL,
      pool_id TEXT NOT NULL,
      services TEXT NOT NULL,
      driver_kind TEXT NOT NULL,
      driver_config TEXT NOT NULL,
      registered_at TEXT NOT NULL,
      seen TEXT,
      seen_at TEXT,
      ready_since TEXT,
      last_op TEXT,
      last_op_at TEXT,
      planned_id TEXT,
      planned_op TEXT,
      planned_for TEXT,
      last_error TEXT,
      quarantined_because TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX machines_by_pool ON machines (pool_id, machine_id);
  `,
  open(db) {
    const register = db.prepare(`
      INSERT INTO machines (machine_id, name, pool_id, services, driver_kind, driver_config, registered_at)
      VALUES (?, ?, ?, ?, ?, ?, ?)`)
    const intend = db.prepare(`
      UPDATE machines SET last_op = ?, last_op_at = ?, last_error = NULL, ready_since = NULL WHERE machine_id = ?`)
    const plan = db.prepare(`
      UPDATE machines SET planned_id = ?, planned_op = ?, planned_for = ? WHERE machine_id = ?`)
    const unplan = db.prepare('UPDATE machines SET planned_id = NULL WHERE machine_id = ? AND planned_id = ?')
    const sent = db.prepare(`
      UPDATE machines SET last_op = planned_op, last_op_at = planned_for, last_error = NULL, ready_since = NULL,
        planned_id = NULL
      WHERE machine_id = ? AND planned_id = ?`)
    const fail = db.prepare('UPDATE machines SET last_error = ? WHERE machine_id = ?')
    const see = db.prepare('UPDATE machines SET seen = ?, seen_at = ? WHERE machine_id = ?')
    const notReady = db.prepare('UPDATE machines SET ready_since = NULL WHERE machine_id = ?')
    const ready = db.prepare('UPDATE machines SET ready_since = ? WHERE machine_id = ?')
    const quarantine = db.prepare('UPDATE machines SET quarantined_because = ? WHERE machine_id = ?')
    return ({event}) => {
      switch (event.type) {
        case 'MachineRegistered': {
          const {machineId, name, poolId, services, driver, at} = event.data
          const config = JSON.stringify(driver.config)
          register.run(machineId, name, poolId, JSON.stringify(services), driver.kind, config, at)
          return
        }
        case 'PowerCommandIntended': {
          const {machineId, powerCommandId, op, dueAt, at} = event.data
          if (dueAt > at) plan.run(powerCommandId, op, dueAt, machineId)
          else intend.run(op, at, machineId)
          return
        }
        case 'PowerCommandWithdrawn':
          unplan.run(event.data.machineId, event.data.powerCommandId)
          return
        case 'PowerCommandAccepted':
          sent.run(event.data.machineId, event.data.powerCommandId)
          return
        case 'PowerCommandFailed':
          sent.run(event.data.machineId, event.data.powerCommandId)
          fail.run(`${event.data.errorClass}: ${event.data.message}`, event.data.machineId)
          return
        case 'PowerObserved': {
          const {machineId, power, reason, at} = event.data
          see.run(power, at, machineId)
          // Seen on with a reason: it is no longer ready. Unreachable says nothing about it.
          if (power === 'off' || (power === 'on' && reason !== null)) notReady.run(machineId)
          return
        }
        case 'MachineReady':
          ready.run(event.data.at, event.data.machineId)
          return
        case 'MachineQuarantined':
          quarantine.run(event.data.reason, event.data.machineId)
          return
        case 'QuarantineLifted':
          quarantine.run(null, event.data.machineId)
          notReady.run(event.data.machineId)
          return
        default:
      }
    }
  },
}

export interface MachineRow {
  readonly machine_id: string
  readonly name: string
  readonly pool_id: string
  /** JSON array of service ids. */
  readonly services: string
  readonly driver_kind: string
  /** JSON object; may hold what only operators should see. */
  readonly driver_config: string
  readonly registered_at: string
  readonly seen: 'off' | 'on' | 'unreachable' | null
  readonly seen_at: string | null
  readonly ready_since: string | null
  readonly last_op: 'start' | 'stop' | 'kill' | null
  readonly last_op_at: string | null
  readonly last_error: string | null
  readonly quarantined_because: string | null
}

export interface MachineQueries {
  machine(machineId: string): MachineRow | null
  /** By id, after `afterId` (null: from the first), at most `limit`. */
  machines(afterId: string | null, limit: number): readonly MachineRow[]
  machineIds(): readonly string[]
}

export function machineQueries(db: DatabaseSync): MachineQueries {
  const one = db.prepare('SELECT * FROM machines WHERE machine_id = ?')
  const page = db.prepare('SELECT * FROM machines WHERE machine_id > ? ORDER BY machine_id LIMIT ? + 0')
  const ids = db.prepare('SELECT machine_id FROM machines ORDER BY machine_id')
  return {
    machine: machineId => (one.get(machineId) as unknown as MachineRow | undefined) ?? null,
    machines: (afterId, limit) => page.all(afterId ?? '', limit) as unknown as MachineRow[],
    machineIds: () => ids.all().map(row => String(row['machine_id'])),
  }
}
