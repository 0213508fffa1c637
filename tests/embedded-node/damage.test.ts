import {readFileSync, rmSync, truncateSync, writeFileSync} from 'node:fs'
import {cp, rm} from 'node:fs/promises'
import {join} from 'node:path'
import {afterEach, beforeEach, expect, test} from 'vitest'

import {LogDamaged} from '../../src/embedded-node/log-file.ts'
import {startEmbeddedNode} from '../../src/embedded-node/node.ts'
import type {AppendWrite} from '../../src/embedded-node/records.ts'
import {openStore} from '../../src/embedded-node/store.ts'
import {walDamage} from '../../src/embedded-node/wal-check.ts'
import {temporaryFolder} from '../support/store.ts'

/** A log of several groups as a killed node leaves it: closed it would have no write-ahead log. */
let root: string
let dataDir: string
let logFile: string
let walFile: string
const groups = 20

beforeEach(async () => {
  root = await temporaryFolder()
  dataDir = join(root, 'killed')
  const store = openStore(join(root, 'running'), () => 0)
  for (let group = 0; group < groups; group++) store.commit([write(group, 400), write(group, 9000)])
  await cp(join(root, 'running'), dataDir, {recursive: true})
  store.close()
  logFile = join(dataDir, 'events.sqlite')
  walFile = `${logFile}-wal`
})
afterEach(async () => {
  await rm(root, {recursive: true, force: true})
})

let ids = 0
function write(group: number, bytes: number): AppendWrite {
  const id = Buffer.alloc(16)
  id.writeUInt32BE(++ids)
  const event = {id, type: 'Tested', isJson: false, data: Buffer.alloc(bytes, group), metadata: Buffer.alloc(0)}
  return {kind: 'append', stream: `s-${ids % 2}`, expected: 'any', events: [event]}
}

const open = (): ReturnType<typeof openStore> => openStore(dataDir, () => 0)
const frameBytes = 24 + 4096
const framesOf = (wal: Buffer): number => Math.floor((wal.length - 32) / frameBytes)
/** The frames that end a transaction. */
const commitsOf = (wal: Buffer): readonly number[] =>
  Array.from({length: framesOf(wal)}, (_, frame) => frame).filter(
    frame => wal.readUInt32BE(32 + frame * frameBytes + 4) !== 0,
  )

function overwrite(file: string, at: number, bytes: Buffer): void {
  const content = readFileSync(file)
  bytes.copy(content, at)
  writeFileSync(file, content)
}

test('a killed log is read whole', () => {
  const store = open()
  expect(store.lastPosition()).toBe(1 + 2 * groups)
  store.close()
})

test('a write-ahead log that is cut anywhere in its last transaction is what a power cut leaves: the rest is read', () => {
  const wal = readFileSync(walFile)
  const commits = commitsOf(wal)
  const [before = 0, last = 0] = commits.slice(-2)
  expect(last).toBeGreaterThan(before + 1)
  for (let frame = before + 1; frame <= last; frame++) {
    truncateSync(walFile, 32 + frame * frameBytes + 1000)
    expect(walDamage(walFile)).toBeNull()
    writeFileSync(walFile, wal)
    overwrite(walFile, 32 + frame * frameBytes + 512, Buffer.alloc(512))
    expect(walDamage(walFile)).toBeNull()
    writeFileSync(walFile, wal)
  }
  truncateSync(walFile, 32 + last * frameBytes)
  const store = open()
  expect(store.lastPosition()).toBe(1 + 2 * (groups - 1))
  store.close()
})

test('a frame that went bad before synced ones is named, and nothing is touched', () => {
  const wal = readFileSync(walFile)
  const commits = commitsOf(wal)
  // All but those of the last two transactions, of which the end of the log cannot tell.
  for (let frame = 0; frame <= (commits.at(-3) ?? 0); frame += 3) {
    overwrite(walFile, 32 + frame * frameBytes + 100, Buffer.from('damage'))
    const damaged = readFileSync(walFile)
    expect(open).toThrow(LogDamaged)
    expect(open).toThrow(/frame \d+ of its write-ahead log.*npm run restore/)
    expect(readFileSync(walFile).equals(damaged)).toBe(true)
    writeFileSync(walFile, wal)
  }
})

test('a damaged header of the write-ahead log is named: SQLite would ignore all that is behind it', () => {
  overwrite(walFile, 18, Buffer.from([1, 2, 3]))
  expect(open).toThrow('header of its write-ahead log')
  overwrite(walFile, 0, Buffer.alloc(32))
  expect(open).toThrow('no header')
})

function goneBesideItsWal(wal: Buffer): void {
  rmSync(logFile)
  writeFileSync(walFile, wal)
}

test.each<[string, (wal: Buffer) => void]>([
  ['is no database', (): void => writeFileSync(logFile, Buffer.alloc(20_000, 7))],
  ['is empty', (): void => truncateSync(logFile, 0)],
  ['is gone beside its write-ahead log', (wal): void => goneBesideItsWal(wal)],
])('a log file that %s is an error that says what to do, never a fresh log', async (_, damage) => {
  const wal = readFileSync(walFile)
  open().close()
  damage(wal)
  expect(open).toThrow(LogDamaged)
  await expect(startEmbeddedNode({dataDir, host: '127.0.0.1'})).rejects.toThrow('npm run restore')
})

test('a closed log that lost its end, or any page of its tables, does not start', () => {
  open().close()
  const whole = readFileSync(logFile)
  const pages = whole.length / 4096
  expect(pages).toBeGreaterThan(20)
  truncateSync(logFile, 4096 * (pages - 5))
  expect(open).toThrow(LogDamaged)
  let found = 0
  for (let page = 1; page < pages; page++) {
    writeFileSync(logFile, whole)
    overwrite(logFile, page * 4096, Buffer.alloc(64, 0xee))
    try {
      open().close()
    } catch (error) {
      expect(error).toBeInstanceOf(LogDamaged)
      found++
    }
  }
  // What overflows from a large event has no structure to check; the pages of the tables and of the index have.
  expect(found).toBeGreaterThan(pages / 3)
})
