/** `npm run verify`: holds a store's whole log, and the read models beside it, against what Hourhand promises. */
import {copyFileSync, existsSync, mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {DatabaseSync} from 'node:sqlite'
import {parseArgs} from 'node:util'

import {allProjections} from '../../projections/all.ts'
import {DataFolderInUse, lockFolder, type FolderLock} from '../embedded-node/folder-lock.ts'
import {LOG_FILE} from '../embedded-node/log-file.ts'
import {startEmbeddedNode} from '../embedded-node/node.ts'
import {connectEventStore} from '../event-store/esdb.ts'
import type {EventStore, Position} from '../event-store/port.ts'
import {createRegistry} from '../event-store/registry.ts'
import {allEventTypes} from '../event-types.ts'
import {rebuildBeside, type RebuiltModels} from '../verify/read-models.ts'
import {createVerifier} from '../verify/verifier.ts'
import {CannotDo, dataFolderOf, eventsFolderOf, runTool, say} from './command-line.ts'

const usage = `npm run verify -- [--store URL] [--data DIR]
  --store URL  the event store, esdb://…; without it, the one in the data folder, whose program must be stopped
  --data DIR   Hourhand's data folder (default, without --store: HOURHAND_DATA, or ./data); its read models are compared
               with the log while no program works there`

export interface Verified {
  readonly events: number
  readonly streams: number
  readonly violations: number
  /** Read models that were rebuilt and compared. */
  readonly compared: readonly string[]
}

const PAGE = 1000
/** Told one by one; a log that is wrong everywhere is not worth more. */
const TOLD_MAX = 100

/** Reads the log once, up to where it ended when that began. */
export async function verifyStore(
  store: EventStore,
  models: RebuiltModels | null,
  tell: (line: string) => void,
): Promise<Verified> {
  let violations = 0
  const violated = (line: string): void => {
    if (++violations <= TOLD_MAX) tell(`VIOLATION ${line}`)
  }
  const verifier = createVerifier(createRegistry(...allEventTypes), ({stream, revision, position, what}) =>
    violated(`${stream}, revision ${revision}, position ${position}: ${what}`),
  )
  const streams = new Set<string>()
  let events = 0
  for await (const recorded of eventsOf(store)) {
    events++
    streams.add(recorded.stream)
    const stored = verifier.see(recorded)
    if (stored === null) continue
    try {
      models?.apply(stored)
    } catch (error) {
      violated(
        `${recorded.stream}, revision ${recorded.revision}: no read model takes it (${(error as Error).message})`,
      )
    }
  }
  verifier.end()
  for (const difference of models?.differences() ?? []) violated(difference)
  if (violations > TOLD_MAX) tell(`and ${violations - TOLD_MAX} more`)
  return {events, streams: streams.size, violations, compared: models?.names ?? []}
}

async function* eventsOf(store: EventStore) {
  const [last] = await store.readAll({direction: 'backwards', from: 'end', maxCount: 1})
  const end = last?.position.commit ?? -1n
  let from: Position | 'start' = 'start'
  let seen = -1n
  while (seen < end) {
    // Reading forwards includes the position read from, which the page before has shown.
    const page = await store.readAll({from, maxCount: PAGE})
    for (const recorded of page) {
      if (recorded.position.commit <= seen || recorded.position.commit > end) continue
      yield recorded
    }
    const lastRead = page.at(-1)
    if (lastRead === undefined || lastRead.position.commit <= seen) return
    seen = lastRead.position.commit
    from = lastRead.position
  }
}

/** Opens what there is, verifies it and closes it again. @throws CannotDo */
export async function verify(
  given: {readonly store: string | undefined; readonly data: string | undefined},
  tell: (line: string) => void,
): Promise<Verified> {
  const folder = given.store === undefined || given.data !== undefined ? dataFolderOf(given.data) : null
  const lock = folder === null ? null : takeFolder(folder)
  try {
    if (given.store !== undefined) return await verifyAt(given.store, folder, tell)
    const dataDir = eventsFolderOf(folder ?? '')
    if (!existsSync(join(dataDir, LOG_FILE))) {
      throw new CannotDo(`There is no event log in ${folder}. Name the data folder with --data, or --store.`)
    }
    const node = await startEmbeddedNode({dataDir, host: '127.0.0.1'}).catch((error: unknown) => {
      throw new CannotDo(`The log in ${folder} cannot be opened: ${(error as Error).message}`)
    })
    try {
      return await verifyAt(node.connectionString, folder, tell)
    } finally {
      await node.close()
    }
  } finally {
    lock?.close()
  }
}

function takeFolder(folder: string): FolderLock | null {
  if (!existsSync(folder)) throw new CannotDo(`There is no folder ${folder}.`)
  try {
    return lockFolder(folder)
  } catch (error) {
    if (error instanceof DataFolderInUse) throw new CannotDo(`A program works in ${folder}. Stop it first.`)
    throw error
  }
}

async function verifyAt(url: string, folder: string | null, tell: (line: string) => void): Promise<Verified> {
  const store = connectEventStore(url)
  const copy = folder === null ? null : copyOfModels(join(folder, 'read-models.sqlite'))
  try {
    return await verifyStore(store, copy === null ? null : rebuildBeside(copy.db, allProjections), tell)
  } finally {
    copy?.remove()
    await store.close()
  }
}

/** The file stays as it is, for the next start to believe in; null: there is none. */
function copyOfModels(file: string): {readonly db: DatabaseSync; remove(): void} | null {
  if (!existsSync(file)) return null
  const folder = mkdtempSync(join(tmpdir(), 'hourhand-verify-'))
  const copy = join(folder, 'read-models.sqlite')
  for (const suffix of ['', '-wal']) if (existsSync(file + suffix)) copyFileSync(file + suffix, copy + suffix)
  const db = new DatabaseSync(copy)
  return {
    db,
    remove() {
      db.close()
      rmSync(folder, {recursive: true, force: true})
    },
  }
}

if (import.meta.main) {
  await runTool(usage, async () => {
    const {values} = parseArgs({options: {store: {type: 'string'}, data: {type: 'string'}}})
    const {events, streams, violations, compared} = await verify({store: values.store, data: values.data}, say)
    say(`${events} events in ${streams} streams, ${compared.length} read models compared: ${violations} violations.`)
    if (violations > 0) throw new CannotDo('The log or its read models break what Hourhand promises.')
  })
}
