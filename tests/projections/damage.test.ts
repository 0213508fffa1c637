import {readFileSync, statSync, truncateSync, writeFileSync} from 'node:fs'
import {DatabaseSync} from 'node:sqlite'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {seeded} from '../support/given.ts'
import type {RunningEngine} from '../support/world-engine.ts'
import {modelsFile, startWorld, type World} from '../support/world.ts'
import {liveThrough, unruly} from './history.ts'
import {copyModels, foldedRows, rowsOf, type Rows} from './support.ts'

let world: World
let node: RunningEngine
let live: Rows
let clean: string
let crashed: string

beforeAll(async () => {
  world = await startWorld({machines: unruly, seed: 5})
  node = await world.startEngine({readModels: modelsFile(world, 'live')})
  node.act()
  await liveThrough(world, () => node, 5, 60)
  await node.stopActing()
  await world.quiet()
  live = rowsOf(node.engine.projections.db)
  clean = modelsFile(world, 'clean')
  crashed = modelsFile(world, 'crashed')
  copyModels(modelsFile(world, 'live'), crashed)
  await foldedRows(world.store, {file: clean})
})
afterAll(() => world.stop())

const whereAndHow = [1, 2, 16, 64, 512, 4096].flatMap(size => [
  {size, how: 'noise', byte: (dice: Dice): number => dice.below(256)},
  {size, how: 'zeros', byte: (): number => 0},
])
type Dice = ReturnType<typeof seeded>

describe.each(['closed in order', 'left by a crash'])('read models %s', left => {
  test.each(whereAndHow)(
    'are folded anew, and equal, after $size bytes of $how anywhere',
    async ({size, how, byte}) => {
      const dice = seeded(size + how.length)
      const kept = left === 'left by a crash' ? crashed : clean
      for (let round = 0; round < 6; round++) {
        const file = modelsFile(world, `spoilt-${left}-${size}-${how}-${round}`)
        copyModels(kept, file)
        const content = readFileSync(file)
        const offset = dice.below(content.length)
        const bytes = Uint8Array.from({length: Math.min(size, content.length - offset)}, () => byte(dice))
        content.set(bytes, offset)
        writeFileSync(file, content)
        expect(await foldedRows(world.store, {file})).toEqual(live)
      }
    },
  )

  test('are folded anew, and equal, after the loss of their end', async () => {
    const kept = left === 'left by a crash' ? crashed : clean
    const {size} = statSync(kept)
    for (const length of [0, 1, 99, 100, 4095, 4096, 4097, size >> 1, size - 1]) {
      const file = modelsFile(world, `cut-${left}-${length}`)
      copyModels(kept, file)
      truncateSync(file, length)
      expect(await foldedRows(world.store, {file})).toEqual(live)
    }
  })

  test('are folded anew, and equal, when something else is in their place', async () => {
    const file = modelsFile(world, `else-${left}`)
    copyModels(left === 'left by a crash' ? crashed : clean, file)
    writeFileSync(file, 'This is no database. '.repeat(1_000))
    expect(await foldedRows(world.store, {file})).toEqual(live)
  })

  test('are folded anew, and equal, when somebody has changed their tables', async () => {
    const changes = [
      'DROP TABLE bookings',
      'DROP TABLE checkpoints',
      'ALTER TABLE ledger DROP COLUMN kind',
      `UPDATE checkpoints SET version = 99 WHERE name = 'work'`,
    ]
    for (const [index, change] of changes.entries()) {
      const file = modelsFile(world, `changed-${left}-${index}`)
      copyModels(left === 'left by a crash' ? crashed : clean, file)
      const db = new DatabaseSync(file)
      db.exec(change)
      db.close()
      expect(await foldedRows(world.store, {file})).toEqual(live)
    }
  })
})

describe('read models that were written without waiting for the disk', () => {
  test('are not believed when the machine has stopped meanwhile', async () => {
    const file = modelsFile(world, 'other-boot')
    copyModels(crashed, file)
    const db = new DatabaseSync(file)
    db.exec(`UPDATE usage SET boot_id = 'another'; DELETE FROM ledger;`)
    db.close()
    expect(await foldedRows(world.store, {file})).toEqual(live)
  })
})
