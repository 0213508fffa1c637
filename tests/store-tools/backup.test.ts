import {existsSync, readFileSync, statSync} from 'node:fs'
import {rm, truncate, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {afterEach, beforeEach, expect, test} from 'vitest'

import {type EmbeddedNode, startEmbeddedNode} from '../../src/embedded-node/node.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {temporaryFolder} from '../support/store.ts'
import {freshStream, newEvent, newEvents} from '../support/store-events.ts'
import {runTool, toolPaths} from './run-tool.ts'

let folder: string
let data: string
let file: string
let node: EmbeddedNode
let store: EventStore
beforeEach(async () => {
  folder = await temporaryFolder()
  data = join(folder, 'data')
  file = join(folder, 'copy.backup')
  node = await startEmbeddedNode({dataDir: join(data, 'events'), host: '127.0.0.1'})
  store = connectEventStore(node.connectionString)
})
afterEach(async () => {
  await store.close()
  await node.close()
  await rm(folder, {recursive: true, force: true})
})

const backup = (...args: readonly string[]) => runTool(toolPaths.backup, ['--data', data, ...args])
const restore = (...args: readonly string[]) => runTool(toolPaths.restore, args)

/** Every event of a folder's log, as the official client reads it. */
async function contentOf(dataDir: string): Promise<readonly unknown[]> {
  const other = await startEmbeddedNode({dataDir, host: '127.0.0.1'})
  const reader = connectEventStore(other.connectionString)
  const events = await reader.readAll({maxCount: 1_000_000})
  await reader.close()
  await other.close()
  return events
}

test('a backup under load is a moment of the log: whole, in order, with all that was acknowledged before', async () => {
  // Large enough that the copying takes several steps with writes in between.
  const fill = {...newEvent(0), data: 'x'.repeat(200_000)}
  for (let number = 0; number < 60; number++) {
    await store.append('fill', 'any', [{...fill, id: newEvent(number).id}])
  }
  const before = await store.append(freshStream(), 'any', newEvents(1))
  const load = {isOver: false}
  let appended = 0
  const writers = Array.from({length: 16}, async () => {
    const stream = freshStream()
    while (!load.isOver) {
      await store.append(stream, 'any', newEvents(1 + (appended % 3)))
      appended++
    }
  })
  const made = await backup(file)
  const appendedMeanwhile = appended
  load.isOver = true
  await Promise.all(writers)
  expect(made.output).toMatch(/Backed up and checked: \d+ events/)
  expect(made.status).toBe(0)
  expect(appendedMeanwhile).toBeGreaterThan(50)

  const restored = join(folder, 'restored')
  expect(await restore(file, '--data', restored)).toMatchObject({status: 0})
  const copy = await contentOf(join(restored, 'events'))
  expect(copy.length).toBeGreaterThanOrEqual(Number(before.position.commit))
  const whole = await store.readAll({maxCount: 1_000_000})
  expect(copy).toEqual(whole.slice(0, copy.length))
  expect(statSync(file).mode & 0o077).toBe(0)
})

test('a folder that no node works in is backed up as well, what only the write-ahead log has included', async () => {
  await store.append(freshStream(), 'any', newEvents(20))
  const events = await store.readAll({maxCount: 1000})
  await store.close()
  await node.close()
  expect(await backup(file)).toMatchObject({status: 0})
  const restored = join(folder, 'restored')
  await restore(file, '--data', restored)
  expect(await contentOf(join(restored, 'events'))).toEqual(events)
})

test('nothing that exists is overwritten, and what cannot be done says what to do', async () => {
  await writeFile(file, 'mine')
  const onExisting = await backup(file)
  expect(onExisting).toMatchObject({status: 1, output: expect.stringContaining('Name another file')})
  expect(readFileSync(file, 'utf8')).toBe('mine')
  expect(await backup(join(folder, 'no', 'such'))).toMatchObject({status: 1, output: expect.stringMatching('Make it')})
  const nowhere = await runTool(toolPaths.backup, ['--data', join(folder, 'nowhere'), join(folder, 'new')])
  expect(nowhere).toMatchObject({status: 1, output: expect.stringContaining('no event log')})

  const intoFilled = await restore(file, '--data', data)
  expect(intoFilled).toMatchObject({status: 1, output: expect.stringContaining('Stop it first')})
  await backup(join(folder, 'good'))
  await store.close()
  await node.close()
  const intoClosed = await restore(join(folder, 'good'), '--data', data)
  expect(intoClosed).toMatchObject({status: 1, output: expect.stringContaining('Move the folder away')})
})

test('a damaged backup is not restored, and leaves no log behind', async () => {
  for (let round = 0; round < 20; round++) await store.append(freshStream(), 'any', newEvents(50))
  await backup(file)
  await truncate(file, 4096 * 10)
  const target = join(folder, 'restored')
  const damaged = await restore(file, '--data', target)
  expect(damaged.status).toBe(1)
  expect(damaged.output).toContain('damaged')
  expect(damaged.output).not.toContain('at restore')
  await writeFile(file, 'no database at all')
  expect(await restore(file, '--data', target)).toMatchObject({status: 1, output: expect.stringContaining('damaged')})
  expect(existsSync(join(target, 'events', 'events.sqlite'))).toBe(false)
})

test('the side door makes backups only for who can read the data folder, and only for programs', async () => {
  const control = join(data, 'events', 'control.json')
  expect(statSync(control).mode & 0o077).toBe(0)
  const {url, token} = JSON.parse(readFileSync(control, 'utf8')) as {url: string; token: string}
  const ask = async (bearer: string, body: string): Promise<number> =>
    (await fetch(`${url}/backup`, {method: 'POST', headers: {authorization: `Bearer ${bearer}`}, body})).status
  expect(await ask('wrong', JSON.stringify({file}))).toBe(401)
  expect(await ask(token, JSON.stringify({file: 'relative'}))).toBe(400)
  expect(await ask(token, 'no json')).toBe(400)
  expect(await ask(token, JSON.stringify({file: control}))).toBe(400)
  expect(existsSync(file)).toBe(false)
  expect(await ask(token, JSON.stringify({file}))).toBe(200)
  await node.close()
  expect(existsSync(control)).toBe(false)
})
