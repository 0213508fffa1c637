/** `npm run restore -- FILE`: puts a backup into a data folder that has no event log. */
import {createHash} from 'node:crypto'
import {createReadStream, existsSync, mkdirSync, readdirSync, rmSync} from 'node:fs'
import {copyFile} from 'node:fs/promises'
import {join, resolve} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {parseArgs} from 'node:util'

import {LOG_FILE, type LogSummary, moveIntoPlace, verifyLogFile} from '../embedded-node/log-file.ts'
import {summaryText} from './backup.ts'
import {CannotDo, dataFolderOf, eventsFolderOf, lockIdle, runTool, say} from './command-line.ts'

const usage = `npm run restore -- FILE [--data DIR]
  FILE        a backup made by npm run backup
  --data DIR  the data folder to fill (default: HOURHAND_DATA, or ./data); it may hold anything but an event log`

/**
 * Checks the backup, copies it and checks the copy. The log gets its name last: one that is there is complete. Read
 * models that have seen more than the restored log are folded anew by the next start.
 * @throws CannotDo, LogDamaged
 */
export async function restore(file: string, dataFolder: string): Promise<LogSummary> {
  const source = resolve(file)
  if (!existsSync(source)) throw new CannotDo(`${source} does not exist.`)
  const events = eventsFolderOf(dataFolder)
  mkdirSync(events, {recursive: true})
  const lock = lockIdle(events)
  const target = join(events, LOG_FILE)
  const partial = `${target}.partial`
  try {
    const found = readdirSync(events).find(name => name.startsWith(LOG_FILE) && !name.endsWith('.partial'))
    if (found !== undefined) {
      throw new CannotDo(`${events} holds ${found}. Move the folder away, or name another with --data.`)
    }
    rmSync(partial, {force: true})
    await copyFile(source, partial)
    const [given, copied] = await Promise.all([source, partial].map(digestOf))
    if (given !== copied) throw new CannotDo('The copy differs from the backup: the disk cannot be trusted.')
    const summary = verifyLogFile(partial)
    moveIntoPlace(partial, target)
    return summary
  } finally {
    for (const suffix of ['', '-journal', '-wal', '-shm']) rmSync(partial + suffix, {force: true})
    lock.close()
  }
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

if (import.meta.main) {
  await runTool(usage, async () => {
    const {values, positionals} = parseArgs({options: {data: {type: 'string'}}, allowPositionals: true})
    const [file] = positionals
    if (file === undefined || positionals.length > 1) throw new CannotDo(usage)
    const dataFolder = dataFolderOf(values.data)
    const summary = await restore(file, dataFolder)
    say(`Restored into ${dataFolder} and checked: ${summaryText(summary)}.`)
  })
}
