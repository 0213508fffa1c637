import {copyFileSync, existsSync} from 'node:fs'
import type {DatabaseSync} from 'node:sqlite'
import {allProjections} from '../../projections/all.ts'
import type {Projection} from '../../projections/projection.ts'
import {startProjections, type ProjectionRunner} from '../../projections/runner.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {createRegistry} from '../../src/event-store/registry.ts'
import {allEventTypes} from '../../src/event-types.ts'
import {systemClock, systemTimers} from '../../src/system.ts'

export interface Folding {
  readonly runner: ProjectionRunner
  readonly halts: [name: string, reason: string][]
  readonly losses: Error[]
}

export interface FoldingOptions {
  readonly file?: string
  readonly projections?: readonly Projection[]
}

export function startFolding(store: EventStore, options: FoldingOptions = {}): Folding {
  const halts: [string, string][] = []
  const losses: Error[] = []
  const runner = startProjections({
    store,
    registry: createRegistry(...allEventTypes),
    clock: systemClock,
    timers: systemTimers,
    projections: options.projections ?? allProjections,
    file: options.file ?? ':memory:',
    onLost: error => losses.push(error),
    onHalted: (name, error) => halts.push([name, error.message]),
  })
  return {runner, halts, losses}
}

/** Folds all that is stored, and answers the rows. */
export async function foldedRows(store: EventStore, options: FoldingOptions = {}): Promise<Rows> {
  const {runner, halts} = startFolding(store, options)
  await runner.caughtUp
  const rows = rowsOf(runner.db, options.projections)
  await runner.stop()
  if (halts.length > 0) throw new Error(JSON.stringify(halts))
  return rows
}

/** Every row of every table, as text, in an order that does not depend on how it came there. */
export type Rows = Readonly<Record<string, readonly string[]>>

export function rowsOf(db: DatabaseSync, projections: readonly Projection[] = allProjections): Rows {
  const rows: Record<string, readonly string[]> = {}
  for (const table of projections.flatMap(({tables}) => tables)) {
    const found = db.prepare(`SELECT * FROM ${table}`).all()
    rows[table] = found.map(row => JSON.stringify(row)).sort()
  }
  return rows
}

/** What a crash at this moment would leave behind: the files as they are, without a word to whoever writes them. */
export function copyModels(from: string, to: string): void {
  for (const suffix of ['', '-wal', '.sha256']) if (existsSync(from + suffix)) copyFileSync(from + suffix, to + suffix)
}

export const countOf = (rows: Rows): number => Object.values(rows).reduce((sum, table) => sum + table.length, 0)
