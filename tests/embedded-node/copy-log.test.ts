import {rm} from 'node:fs/promises'
import {join} from 'node:path'
import type {DatabaseSync} from 'node:sqlite'
import {afterEach, beforeEach, expect, test} from 'vitest'

import {copyLog, openLogFile, verifyLogFile} from '../../src/embedded-node/log-file.ts'
import {temporaryFolder} from '../support/store.ts'

/** More than one step of the copying is long. */
const events = 1500

let folder: string
let copy: string
let db: DatabaseSync
beforeEach(async () => {
  folder = await temporaryFolder()
  copy = join(folder, 'copy')
  db = openLogFile(join(folder, 'events.sqlite'), 'durable')
  db.exec('BEGIN')
  for (let number = 1; number <= events; number++) insert(number)
  db.exec('COMMIT')
})
afterEach(async () => {
  db.close()
  await rm(folder, {recursive: true, force: true})
})

function insert(number: number): void {
  db.prepare("INSERT INTO streams (id, name) VALUES (?, 's-' || ?)").run(number, number)
  db.prepare("INSERT INTO events VALUES (?, ?, 0, randomblob(16), 'Tested', 0, 0, zeroblob(2000), x'')").run(
    number,
    number,
  )
}

/** What stands in a group of the writer while the copying, in a thread of its own, comes to its next step. */
function beginWriting(): void {
  db.exec('BEGIN IMMEDIATE')
  insert(events + 1)
}

test('a copy that meets a write transaction at its first step is made all the same', async () => {
  beginWriting()
  let pauses = 0
  await copyLog(
    db,
    copy,
    () => undefined,
    async () => {
      if (++pauses === 3) db.exec('COMMIT')
    },
  )
  expect(pauses).toBe(3)
  expect(verifyLogFile(copy)).toMatchObject({events: events + 1, lastPosition: events + 1})
})

test('a copy that meets a write transaction at a later step is made all the same', async () => {
  let steps = 0
  await copyLog(db, copy, () => {
    steps++
    if (steps === 2) beginWriting()
    if (steps === 5) db.exec('COMMIT')
  })
  expect(steps).toBeGreaterThan(5)
  expect(verifyLogFile(copy)).toMatchObject({events: events + 1, lastPosition: events + 1})
})

test('a copy that never finds the log at rest says so, and leaves the log as it was', async () => {
  beginWriting()
  let pauses = 0
  const copying = copyLog(
    db,
    copy,
    () => undefined,
    async () => void pauses++,
  )
  await expect(copying).rejects.toThrow('the log was being written to at each of 100 tries to copy it')
  expect(pauses).toBe(99)
  db.exec('ROLLBACK')
  await copyLog(db, copy, () => undefined)
  expect(verifyLogFile(copy)).toMatchObject({events, lastPosition: events})
})

test('a copy that fails for another reason is not tried again', async () => {
  let pauses = 0
  const copying = copyLog(
    db,
    join(folder, 'no', 'such', 'folder'),
    () => undefined,
    async () => void pauses++,
  )
  await expect(copying).rejects.toThrow('unable to open database file')
  expect(pauses).toBe(0)
})
