/** What the command-line tools share: words for people, and where the log is. */
import {existsSync, readFileSync} from 'node:fs'
import {join, resolve} from 'node:path'
import {parseEnv} from 'node:util'

import {DataFolderInUse, type FolderLock, lockFolder} from '../embedded-node/folder-lock.ts'
import {LogDamaged} from '../embedded-node/log-file.ts'

/** It cannot be done; the message says why and what to do. */
export class CannotDo extends Error {}

export const say = (line: string): void => void process.stdout.write(`${line}\n`)

/** Runs a tool and ends the process: 0 when it did its work, 1 with the reason otherwise. */
export async function runTool(usage: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
    process.exitCode = 0
  } catch (error) {
    const {code} = error as {readonly code?: unknown}
    const isUsage = typeof code === 'string' && code.startsWith('ERR_PARSE_ARGS')
    const isForPeople = isUsage || error instanceof CannotDo || error instanceof LogDamaged
    const text = isForPeople ? (error as Error).message : String((error as Error).stack)
    process.stderr.write(`${text}\n${isUsage ? `\n${usage}\n` : ''}`)
    process.exitCode = 1
  }
}

/** Hourhand's data folder: as given, or as the program itself would find it. */
export function dataFolderOf(given: string | undefined): string {
  const file = existsSync('.env') ? parseEnv(readFileSync('.env', 'utf8')) : {}
  return resolve(given ?? process.env['HOURHAND_DATA'] ?? file['HOURHAND_DATA'] ?? './data')
}

/** Where the log of a data folder is, of Hourhand's and of `npm run store` alike. */
export const eventsFolderOf = (dataFolder: string): string => join(dataFolder, 'events')

/** Keeps nodes out of a folder of events while a tool works in it. @throws CannotDo when one is there */
export function lockIdle(events: string): FolderLock {
  try {
    return lockFolder(events)
  } catch (error) {
    if (error instanceof DataFolderInUse) throw new CannotDo(`A node works in ${events}. Stop it first.`)
    throw error
  }
}
