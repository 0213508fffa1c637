/**
 * `npm run store:compact`: gives back the room of removed events. They are overwritten where they are while the node
 * runs, so that the file does not grow by what comes next, but it does not shrink either; this rewrites it.
 */
import {existsSync, rmSync, statSync} from 'node:fs'
import {join} from 'node:path'
import {parseArgs} from 'node:util'

import {LOG_FILE, type LogSummary, moveIntoPlace, openLogFile, verifyLogFile} from '../embedded-node/log-file.ts'
import {summaryText} from './backup.ts'
import {CannotDo, dataFolderOf, eventsFolderOf, lockIdle, runTool, say} from './command-line.ts'

const usage = `npm run store:compact -- [--data DIR]
  --data DIR  the data folder, in which no node works (default: HOURHAND_DATA, or ./data)
Takes as much free room on the disk as the log has events. Interrupted, it has done nothing.`

export interface Compacted {
  readonly summary: LogSummary
  readonly bytesBefore: number
  readonly bytesAfter: number
}

/**
 * Positions and revisions stay as they are. The new file gets its name when it is complete, checked and synced.
 * @throws CannotDo, LogDamaged
 */
export function compact(dataFolder: string): Compacted {
  const events = eventsFolderOf(dataFolder)
  const log = join(events, LOG_FILE)
  const partial = `${log}.partial`
  const removePartial = (): void => {
    for (const suffix of ['', '-journal', '-wal', '-shm']) rmSync(partial + suffix, {force: true})
  }
  if (!existsSync(log)) throw new CannotDo(`There is no event log in ${dataFolder}. Name the data folder with --data.`)
  const lock = lockIdle(events)
  try {
    removePartial()
    const db = openLogFile(log, 'durable')
    try {
      db.prepare('VACUUM INTO ?').run(partial)
    } finally {
      db.close()
    }
    // It would be taken for that of the new file.
    if (existsSync(`${log}-wal`))
      throw new CannotDo(`${log} has a write-ahead log that cannot be emptied: a full disk?`)
    const before = verifyLogFile(log)
    const summary = verifyLogFile(partial)
    if (JSON.stringify(before) !== JSON.stringify(summary)) {
      throw new CannotDo('The rewritten log differs from the log: the disk cannot be trusted. Nothing was changed.')
    }
    const bytesBefore = statSync(log).size
    moveIntoPlace(partial, log)
    return {summary, bytesBefore, bytesAfter: statSync(log).size}
  } finally {
    removePartial()
    lock.close()
  }
}

if (import.meta.main) {
  await runTool(usage, async () => {
    const {values} = parseArgs({options: {data: {type: 'string'}}})
    const {summary, bytesBefore, bytesAfter} = compact(dataFolderOf(values.data))
    say(`Compacted from ${bytesBefore} to ${bytesAfter} bytes and checked: ${summaryText(summary)}.`)
  })
}
