import {rmSync} from 'node:fs'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {allProjections} from '../../projections/all.ts'
import {allEventTypes} from '../../src/event-types.ts'
import {plusMinutes, type Instant} from '../../src/kernel/time.ts'
import {booked, grant} from '../support/world-acts.ts'
import type {RunningEngine} from '../support/world-engine.ts'
import {modelsFile, startWorld, type World} from '../support/world.ts'
import {liveThrough, unruly} from './history.ts'
import {copyModels, countOf, foldedRows, rowsOf, startFolding, type Rows} from './support.ts'

let world: World
let node: RunningEngine
let live: Rows
let movedBookings: readonly string[]
/** Copies of the files as a crash would have left them, taken at moments nobody chose. */
const copies: string[] = []

beforeAll(async () => {
  world = await startWorld({machines: unruly, seed: 3})
  const file = modelsFile(world, 'live')
  node = await world.startEngine({readModels: file})
  let batches = 0
  node.engine.projections.onBatch(() => {
    if (++batches % 20 !== 0 || copies.length >= 12) return
    const copy = modelsFile(world, `copy-${copies.length}`)
    copyModels(file, copy)
    copies.push(copy)
  })
  node.act()
  await liveThrough(world, () => node, 3, 120)
  // Something is left to do.
  await grant(node.engine, 'zoe', 60)
  await world.during(booked(node.engine, 'zoe', plusMinutes(`${world.now().slice(0, 16)}:00.000Z` as Instant, 24 * 60)))
  live = rowsOf(node.engine.projections.db)
  movedBookings = (await world.log()).flatMap(({event}) =>
    event.type === 'AllocationFailedOver' ? [event.data.bookingId] : [],
  )
})
afterAll(() => world.stop())

describe('the history these tests stand on', () => {
  test('holds nearly every kind of event and fills every table', async () => {
    const seen = new Set<string>((await world.log()).map(({event}) => event.type))
    const unseen = allEventTypes.flatMap(slice => Object.keys(slice)).filter(type => !seen.has(type))
    // One node renews nothing and gives nothing back; nobody signs in by a link; no discount is set.
    expect(unseen).toEqual(['DiscountSet', 'LeaseRenewed', 'LeaseReleased', 'SignInRedeemed'])
    expect(Object.entries(live).filter(([, rows]) => rows.length === 0)).toEqual([])
    expect(node.engine.projections.halted()).toEqual([])
  })
})

describe('the rows of a long history', () => {
  test('account for every minute: granted = available + held + captured + expired, none below zero', () => {
    const grants = node.engine.projections.db.prepare('SELECT * FROM grants').all()
    expect(grants.length).toBeGreaterThan(10)
    for (const {minutes, available, held, captured, expired} of grants) {
      const parts = [available, held, captured, expired].map(Number)
      expect(parts.every(part => part >= 0)).toBe(true)
      expect(parts.reduce((sum, part) => sum + part, 0)).toBe(minutes)
    }
  })

  test('have a ledger whose last lines say what the grants say, and whose every line is above zero', () => {
    const {db} = node.engine.projections
    const sums = db.prepare(
      'SELECT user_id, sum(available) AS available, sum(held) AS held FROM grants GROUP BY user_id',
    )
    const lines = db.prepare('SELECT * FROM ledger WHERE user_id = ? ORDER BY revision')
    for (const {user_id: userId, available, held} of sums.all()) {
      const ledger = lines.all(String(userId))
      expect(ledger.at(-1)).toMatchObject({available_after: available, held_after: held})
      expect(ledger.every(line => Number(line['available_after']) >= 0 && Number(line['held_after']) >= 0)).toBe(true)
    }
  })

  test('hold hours for no booking that is over, and list no work that is done', () => {
    const {db} = node.engine.projections
    const open = db
      .prepare(`SELECT booking_id FROM bookings WHERE status IN ('confirmed', 'started') ORDER BY booking_id`)
      .all()
    const work = db.prepare('SELECT booking_id FROM work_bookings ORDER BY booking_id').all()
    const terms = db.prepare('SELECT booking_id FROM work_terms ORDER BY booking_id').all()
    expect(work.map(row => row['booking_id'])).toEqual(open.map(row => row['booking_id']))
    expect(terms).toEqual(work)
    expect(db.prepare('SELECT * FROM work_purchases WHERE paid = 1').all()).toEqual([])
    const held = db.prepare('SELECT sum(held) AS held FROM grants').get()
    const owed = db.prepare('SELECT coalesce(sum(held_minutes), 0) AS held FROM work_bookings').get()
    expect(held).toEqual(owed)
  })

  test('give no machine to two bookings at once, buffers included', () => {
    const rows = node.engine.projections.db.prepare('SELECT * FROM allocations ORDER BY machine_id, start_ms').all()
    const moved = new Set(movedBookings)
    const clashes = rows.filter((row, index) => {
      const before = rows[index - 1]
      if (before === undefined || before['machine_id'] !== row['machine_id']) return false
      // Who moved to another machine in the middle of a session needs it from then on only.
      if (moved.has(String(row['booking_id'])) || moved.has(String(before['booking_id']))) return false
      const isSharedEdge = before['user_id'] === row['user_id'] && before['end_ms'] === row['start_ms']
      const until = Number(before['end_ms']) + Number(before['turnaround_ms'])
      return !isSharedEdge && until > Number(row['start_ms']) - Number(row['warm_up_ms'])
    })
    expect(clashes).toEqual([])
  })
})

describe('a rebuild', () => {
  test('from the whole log equals the live rows, table by table, row by row', async () => {
    expect(await foldedRows(world.store)).toEqual(live)
    expect(await foldedRows(world.store, {file: modelsFile(world, 'fresh')})).toEqual(live)
  })

  test('of one read model, when its version changes, leaves the others as they were', async () => {
    const file = modelsFile(world, 'versions')
    await foldedRows(world.store, {file})
    const applied = new Map<string, number>()
    const counted = allProjections.map(projection => ({
      ...projection,
      version: projection.version + (projection.name === 'agenda' ? 1 : 0),
      open(db: Parameters<typeof projection.open>[0]) {
        const apply = projection.open(db)
        return (stored: Parameters<typeof apply>[0]) => {
          applied.set(projection.name, (applied.get(projection.name) ?? 0) + 1)
          apply(stored)
        }
      },
    }))
    expect(await foldedRows(world.store, {file, projections: counted})).toEqual(live)
    expect([...applied.keys()]).toEqual(['agenda'])
    // And once only: the next start finds the new version in place.
    applied.clear()
    expect(await foldedRows(world.store, {file, projections: counted})).toEqual(live)
    expect(applied.size).toBe(0)
  })

  test('follows when a read model was away for a while: it does not miss what was in between', async () => {
    const file = modelsFile(world, 'away')
    await foldedRows(world.store, {file})
    const others = allProjections.filter(({name}) => name !== 'balances')
    await foldedRows(world.store, {file, projections: others})
    expect(await foldedRows(world.store, {file})).toEqual(live)
  })
})

describe('the files left by a crash', () => {
  test('hold rows and checkpoints that agree, whenever it comes', async () => {
    // How many there are depends on how the events fell into transactions.
    expect(copies.length).toBeGreaterThan(3)
    const sizes = new Set<number>()
    for (const copy of copies) {
      const {runner, halts} = startFolding(world.store, {file: copy})
      sizes.add(countOf(rowsOf(runner.db)))
      await runner.caughtUp
      expect(rowsOf(runner.db)).toEqual(live)
      expect(halts).toEqual([])
      await runner.stop()
    }
    // They were taken on the way, not at the end.
    expect(sizes.size).toBeGreaterThan(2)
  })

  test('are folded on with from where they were: nothing that was folded is folded again', async () => {
    const copy = modelsFile(world, 'once')
    const file = modelsFile(world, 'for-once')
    await foldedRows(world.store, {file})
    copyModels(file, copy)
    let applied = 0
    const counted = allProjections.map(projection => ({
      ...projection,
      open(db: Parameters<typeof projection.open>[0]) {
        const apply = projection.open(db)
        return (stored: Parameters<typeof apply>[0]) => {
          applied++
          apply(stored)
        }
      },
    }))
    expect(await foldedRows(world.store, {file: copy, projections: counted})).toEqual(live)
    expect(applied).toBe(0)
  })
})

describe('files that are lost', () => {
  test.each(['', '-wal', '-shm'])('in part (%j) are folded anew or not needed', async suffix => {
    const file = modelsFile(world, `lost${suffix}`)
    await foldedRows(world.store, {file})
    rmSync(file + suffix, {force: true})
    expect(await foldedRows(world.store, {file})).toEqual(live)
  })
})
