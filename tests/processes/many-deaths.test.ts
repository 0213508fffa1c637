import {afterEach, expect, test} from 'vitest'
import {liveThrough, unruly} from '../projections/history.ts'
import {foldedRows, rowsOf} from '../projections/support.ts'
import {seeded} from '../support/given.ts'
import type {AppendFate, AppendSeen} from '../support/watched-store.ts'
import type {RunningEngine} from '../support/world-engine.ts'
import {modelsFile, startWorld, type World} from '../support/world.ts'

let world: World
afterEach(() => world.stop())

interface Life {
  isOver: boolean
}

/** An engine that dies at one of its next appends, before or after it; nothing it asks for later is done. */
function mortal(life: Life, dice: ReturnType<typeof seeded>) {
  let left = 5 + dice.below(60)
  return (_append: AppendSeen): AppendFate => {
    if (life.isOver) return 'dies before'
    if (--left > 0) return 'lives'
    life.isOver = true
    return dice.chance(0.5) ? 'dies before' : 'dies after'
  }
}

test.each([11])('engines that die again and again leave nothing undone and do nothing twice (seed %i)', async seed => {
  world = await startWorld({machines: unruly, seed})
  const dice = seeded(seed)
  const readModels = modelsFile(world, 'kept')
  const complaints: string[] = []
  let life: Life = {isOver: false}
  let deaths = 0
  const start = async (isMortal: boolean): Promise<RunningEngine> => {
    life = {isOver: false}
    const node = await world.startEngine(isMortal ? {readModels, fateOf: mortal(life, dice)} : {readModels})
    node.act()
    return node
  }
  let node = await start(true)
  const current = async (): Promise<RunningEngine> => {
    if (!life.isOver) return node
    await node.stop()
    complaints.push(...node.complaints.filter(complaint => !/(before|after) the append/.test(complaint)))
    deaths++
    node = await start(true)
    return node
  }
  await liveThrough(world, current, seed, 60)
  life.isOver = true
  await current()
  await node.stop()
  node = await start(false)
  await world.advance(10 * 3_600_000)

  expect(deaths).toBeGreaterThan(2)
  expect(complaints).toEqual([])
  expect(node.complaints).toEqual([])
  const {db} = node.engine.projections
  expect(db.prepare('SELECT * FROM work_bookings').all()).toEqual([])
  expect(db.prepare(`SELECT * FROM bookings WHERE status IN ('confirmed', 'started')`).all()).toEqual([])
  expect(db.prepare('SELECT * FROM grants WHERE held <> 0').all()).toEqual([])
  expect(db.prepare(`SELECT * FROM grants WHERE minutes <> available + captured + expired`).all()).toEqual([])
  const facts = (await world.log()).map(({event}) => ({type: event.type, ...(event.data as {bookingId?: string})}))
  for (const type of [
    'HoursHeld',
    'SlotAllocated',
    'SlotDeclined',
    'BookingConfirmed',
    'BookingStarted',
    'HoursCaptured',
  ]) {
    const ids = facts.filter(fact => fact.type === type).map(({bookingId}) => bookingId)
    expect(new Set(ids).size).toBe(ids.length)
  }
  const confirmed = facts.filter(({type}) => type === 'BookingConfirmed').length
  const over = facts.filter(({type}) => ['BookingEnded', 'BookingCancelled', 'BookingFailed'].includes(type)).length
  expect(over).toBe(confirmed)
  expect(await foldedRows(world.store)).toEqual(rowsOf(db))
  for (const machineId of ['eu-1', 'eu-2']) expect(world.truth(machineId)?.phase ?? 'off').toBe('off')
})
