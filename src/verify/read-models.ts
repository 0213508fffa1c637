import {DatabaseSync} from 'node:sqlite'
import type {DomainEvent, Projection} from '../../projections/projection.ts'
import type {StoredEvent} from '../kernel/messages.ts'

/** Read models folded once more, in memory, to be compared with those that a program has folded as it went (7). */
export interface RebuiltModels {
  /** Names of those that are compared; the others belong to another version and are folded anew by the next start. */
  readonly names: readonly string[]
  /** Folds an event into those that had folded it. Throws what a projection throws. */
  apply(stored: StoredEvent<DomainEvent>): void
  /** What differs, without saying what is in the rows: they hold what is private. */
  differences(): readonly string[]
}

interface Rebuilt {
  readonly projection: Projection
  readonly upTo: bigint
  readonly apply: (stored: StoredEvent<DomainEvent>) => void
}

/** `live`: a copy of the file of a program that does not run. */
export function rebuildBeside(live: DatabaseSync, projections: readonly Projection[]): RebuiltModels {
  const db = new DatabaseSync(':memory:')
  const rebuilt = projections.flatMap((projection): Rebuilt[] => {
    const upTo = checkpointOf(live, projection)
    if (upTo === null) return []
    db.exec(projection.ddl)
    return [{projection, upTo, apply: projection.open(db)}]
  })
  return {
    names: rebuilt.map(({projection}) => projection.name),
    apply(stored) {
      for (const {upTo, apply} of rebuilt) if (stored.commit <= upTo) apply(stored)
    },
    differences: () =>
      rebuilt.flatMap(({projection: {name, tables}}) =>
        tables.flatMap(table => {
          const [there, again] = [rowsOf(live, table), rowsOf(db, table)]
          const [lacks, surplus] = [countBeside(again, there), countBeside(there, again)]
          return lacks + surplus === 0
            ? []
            : [
                `read model ${name}, table ${table}: ${lacks} rows are missing or other, ${surplus} are too many or other`,
              ]
        }),
      ),
  }
}

/** Null: this program would not go on with its rows. */
function checkpointOf(live: DatabaseSync, {name, version}: Projection): bigint | null {
  const select = live.prepare('SELECT version, commit_position FROM checkpoints WHERE name = ?')
  select.setReadBigInts(true)
  const row = select.get(name)
  return row === undefined || Number(row['version']) !== version ? null : (row['commit_position'] as bigint)
}

function rowsOf(db: DatabaseSync, table: string): ReadonlySet<string> {
  const select = db.prepare(`SELECT * FROM ${table}`)
  return new Set(select.all().map(row => JSON.stringify(row)))
}

/** How many of `rows` are not among the others. */
function countBeside(rows: ReadonlySet<string>, others: ReadonlySet<string>): number {
  return rows.difference(others).size
}
