import {mkdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {rm} from 'node:fs/promises'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {afterEach, beforeEach, expect, test} from 'vitest'

import type {Storage} from '../../src/embedded-node/log-file.ts'
import {openStore} from '../../src/embedded-node/store.ts'
import {temporaryFolder} from '../support/store.ts'
import {type Image, imageAfter, type Luck, type Step, trace} from './file-trace.ts'

const child = fileURLToPath(new URL('./power-loss-child.ts', import.meta.url))
const names = ['events.sqlite', 'events.sqlite-wal']
const lucks: readonly Luck[] = ['nothing', 'everything', 'some writes', 'some sectors']
const appends = 900
const cuts = 120

let folder: string
beforeEach(async () => {
  folder = await temporaryFolder()
})
afterEach(async () => {
  await rm(folder, {recursive: true, force: true})
})

interface Run {
  readonly base: Image
  readonly steps: readonly Step[]
}

/** A node under load from an empty log on, traced down to its system calls. */
async function runTraced(storage: Storage): Promise<Run> {
  const dataDir = join(folder, storage)
  openStore(dataDir, () => 0).close()
  const base = new Map([['events.sqlite', readFileSync(join(dataDir, 'events.sqlite'))]])
  const files = names.map(name => join(dataDir, name))
  const acks = join(folder, `${storage}.acks`)
  const program = [child, dataDir, storage, String(appends), acks]
  return {base, steps: await trace(program, files, acks, join(folder, `${storage}.trace`))}
}

/** The same sequence at every run; chance would make a failure hard to find again. */
function chances(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Cuts the power at many moments. Answers what was wrong with the files after each. */
function cutPower({base, steps}: Run): readonly string[] {
  const chance = chances(1)
  const lines = steps.flatMap((step, index) => (step.type === 'line' ? [index + 1] : []))
  const faults: string[] = []
  for (let cut = 0; cut < cuts; cut++) {
    // Every other one right behind an acknowledgement, where a node that acknowledges too early shows.
    const pick = cut % 2 === 0 ? lines[Math.floor(chance() * lines.length)] : Math.floor(chance() * steps.length)
    const luck = lucks[(cut >> 1) % lucks.length] ?? 'nothing'
    const image = imageAfter(base, steps, pick ?? 0, luck, chance)
    const fault = faultOf(image, steps.slice(0, pick))
    if (fault !== null) faults.push(`after step ${pick} with ${luck} of the unsynced: ${fault}`)
  }
  return faults
}

function faultOf(image: Image, before: readonly Step[]): string | null {
  const dataDir = join(folder, 'image')
  rmSync(dataDir, {recursive: true, force: true})
  mkdirSync(dataDir)
  for (const [name, content] of image) writeFileSync(join(dataDir, name), content)
  try {
    // Opening checks the structure of the file and that no position is missing.
    const store = openStore(dataDir, () => 0)
    try {
      for (const step of before) {
        if (step.type !== 'line') continue
        const [stream = '', revision = '', position = '', ids = ''] = step.text.trim().split(' ')
        const expected = ids.replaceAll('-', '').split(',')
        const first = Number(revision) - expected.length + 1
        const stored = store.readStream(stream, 'forwards', first, expected.length)
        const found = stored.map(({id}) => Buffer.from(id).toString('hex'))
        const isThere = found.join() === expected.join() && stored.at(-1)?.position === Number(position)
        if (!isThere) return `${stream} lost revision ${revision}, which was acknowledged`
      }
    } finally {
      store.close()
    }
    return null
  } catch (error) {
    return String(error)
  }
}

test('a power cut at any moment leaves a sound log with every acknowledged append', async () => {
  const run = await runTraced('durable')
  expect(run.steps.filter(({type}) => type === 'line')).toHaveLength(appends)
  // The run crosses checkpoints: the main file is synced, too.
  const checkpoints = run.steps.filter(step => step.type === 'synced' && step.file === 'events.sqlite')
  expect(checkpoints.length).toBeGreaterThan(5)
  // And it crosses scavenges: what was deleted is overwritten, and the write-ahead log emptied.
  const scavenges = run.steps.filter(step => step.type === 'truncate' && step.size === 0)
  expect(scavenges.length).toBeGreaterThan(2)
  expect(cutPower(run)).toEqual([])
})

test('the same power cuts find a node that does not wait for the disk', async () => {
  const faults = cutPower(await runTraced('unsynced'))
  expect(faults.length).toBeGreaterThan(20)
  expect(faults.join('\n')).toMatch('which was acknowledged')
})
