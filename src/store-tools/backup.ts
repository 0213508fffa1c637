/** `npm run backup -- FILE`: copies the event log of a running node, or of one that is not running, and checks the copy. */
import {existsSync, readFileSync, rmSync} from 'node:fs'
import {dirname, join, resolve} from 'node:path'
import {DatabaseSync} from 'node:sqlite'
import {parseArgs} from 'node:util'

import {type BackupLine, CONTROL_FILE} from '../embedded-node/control.ts'
import {DataFolderInUse, lockFolder} from '../embedded-node/folder-lock.ts'
import {copyLog, LOG_FILE, type LogSummary, moveIntoPlace, verifyLogFile} from '../embedded-node/log-file.ts'
import {CannotDo, dataFolderOf, eventsFolderOf, runTool, say} from './command-line.ts'

const usage = `npm run backup -- FILE [--data DIR]
  FILE        the backup to make; must not exist
  --data DIR  Hourhand's data folder, or that of npm run store (default: HOURHAND_DATA, or ./data)`

/**
 * Makes a backup of the log in a data folder. Everything that was acknowledged before the call is in it; the log may be
 * written to meanwhile. The file gets its name when it is complete, checked and synced.
 * @throws CannotDo, LogDamaged
 */
export async function backUp(dataFolder: string, file: string): Promise<LogSummary> {
  const events = eventsFolderOf(dataFolder)
  const log = join(events, LOG_FILE)
  const target = resolve(file)
  const partial = `${target}.partial`
  if (!existsSync(log)) throw new CannotDo(`There is no event log in ${dataFolder}. Name the data folder with --data.`)
  if (existsSync(target)) throw new CannotDo(`${target} exists. Name another file, or remove it.`)
  if (!existsSync(dirname(target))) throw new CannotDo(`The folder of ${target} does not exist. Make it.`)
  for (const suffix of ['', '-journal', '-wal', '-shm']) rmSync(partial + suffix, {force: true})
  try {
    await copyClosed(events, log, partial)
    const summary = verifyLogFile(partial)
    moveIntoPlace(partial, target)
    return summary
  } finally {
    for (const suffix of ['', '-journal', '-wal', '-shm']) rmSync(partial + suffix, {force: true})
  }
}

/** The lock of the folder decides whether a node works in it: it cannot be stale. */
async function copyClosed(events: string, log: string, partial: string): Promise<void> {
  let lock: ReturnType<typeof lockFolder>
  try {
    lock = lockFolder(events)
  } catch (error) {
    if (!(error instanceof DataFolderInUse)) throw error
    return copyByNode(events, partial)
  }
  try {
    const db = new DatabaseSync(log)
    try {
      await copyLog(db, partial, () => undefined)
    } finally {
      db.close()
    }
  } finally {
    lock.close()
  }
}

/** Asks the node that works in the folder. */
async function copyByNode(events: string, partial: string): Promise<void> {
  const {url, token} = readControl(join(events, CONTROL_FILE))
  const response = await fetch(`${url}/backup`, {
    method: 'POST',
    headers: {authorization: `Bearer ${token}`},
    body: JSON.stringify({file: partial}),
  }).catch((error: unknown) => {
    throw new CannotDo(`The running node does not answer: ${(error as Error).message}. Try again.`)
  })
  if (!response.ok) throw new CannotDo(`The running node refused the backup: ${(await response.text()).trim()}`)
  const last = await lastLine(response)
  if (last?.type === 'failed') throw new CannotDo(`The backup failed: ${last.message}`)
  if (last?.type !== 'done') throw new CannotDo('The running node stopped before the backup was complete. Try again.')
}

async function lastLine(response: Response): Promise<BackupLine | null> {
  let last: BackupLine | null = null
  let rest = ''
  const decoder = new TextDecoder()
  try {
    for await (const chunk of response.body ?? []) {
      const lines = (rest + decoder.decode(chunk, {stream: true})).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        last = JSON.parse(line) as BackupLine
        if (last.type === 'progress') say(`  ${Math.floor((100 * last.donePages) / Math.max(1, last.totalPages))} %`)
      }
    }
  } catch (error) {
    throw new CannotDo(`The running node went away: ${(error as Error).message}. Try again.`)
  }
  return last
}

function readControl(file: string): {readonly url: string; readonly token: string} {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as {url: string; token: string}
  } catch (error) {
    throw new CannotDo(
      `A process works in the data folder, but ${file} cannot be read (${(error as Error).message}). ` +
        'Run the backup as the user that runs the node, or try again when it has started.',
    )
  }
}

export function summaryText({events, streams, lastPosition, lastCreatedMs}: LogSummary): string {
  const last = lastCreatedMs === null ? '' : `, the last one of ${new Date(lastCreatedMs).toISOString()}`
  return `${events} events in ${streams} streams up to position ${lastPosition}${last}`
}

if (import.meta.main) {
  await runTool(usage, async () => {
    const {values, positionals} = parseArgs({options: {data: {type: 'string'}}, allowPositionals: true})
    const [file] = positionals
    if (file === undefined || positionals.length > 1) throw new CannotDo(usage)
    const summary = await backUp(dataFolderOf(values.data), file)
    say(`Backed up and checked: ${summaryText(summary)}.`)
    say('Keys are not in it. Keep those of the configuration, or development-secrets of the data folder, elsewhere.')
  })
}
