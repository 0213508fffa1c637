import {randomUUID} from 'node:crypto'
import {afterEach, beforeEach, describe, expect, test} from 'vitest'
import type {Projection} from '../../projections/projection.ts'
import {StoreUnavailable, type EventStore} from '../../src/event-store/port.ts'
import {turn} from '../support/hand-clock.ts'
import {startTestStore, type TestStore} from '../support/store.ts'
import {copyModels, foldedRows, rowsOf, startFolding, type Folding} from './support.ts'

let testStore: TestStore
let store: EventStore
let revision: bigint
const open: Folding[] = []

beforeEach(async () => {
  testStore = await startTestStore()
  store = testStore.store
  revision = -1n
})
afterEach(async () => {
  await Promise.all(open.splice(0).map(({runner}) => runner.stop()))
  await testStore.stop()
})

const metadata = {
  $correlationId: 'c',
  $causationId: 'c',
  actor: {type: 'process', name: 'test'},
  at: '2026-11-21T08:00:00.000Z',
  version: 1,
}

const service = (name: string) => ({
  type: 'ServiceListed',
  data: {serviceId: name, name, pricePerHour: {amountMinor: 1, currency: 'EUR'}},
})

/** Appends to one stream; answers the position of the last. */
async function write(...events: readonly {type: string; data: unknown; version?: number}[]): Promise<bigint> {
  const stored = events.map(({type, data, version = 1}) => ({
    id: randomUUID(),
    type,
    data,
    metadata: {...metadata, version},
  }))
  const appended = await store.append('catalogue-main', revision < 0n ? 'noStream' : revision, stored)
  revision = appended.revision
  return appended.position.commit
}

/** A read model of service names, which cannot take those it is told of. */
function names(model: string, refuses: readonly string[] = [], version = 1): Projection {
  const table = `names_of_${model}`
  return {
    name: model,
    version,
    tables: [table],
    ddl: `CREATE TABLE ${table} (name TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID`,
    open(db) {
      const add = db.prepare(`INSERT INTO ${table} VALUES (?, ?)`)
      return ({event, commit}) => {
        if (event.type !== 'ServiceListed') return
        if (refuses.includes(event.data.name)) throw new Error(`cannot take ${event.data.name}`)
        add.run(event.data.name, commit)
      }
    },
  }
}

function folding(projections: readonly Projection[], file?: string, from = store): Folding {
  const begun = startFolding(from, file === undefined ? {projections} : {projections, file})
  open.push(begun)
  return begun
}

const namesIn = ({runner}: Folding, model: string): readonly unknown[] =>
  runner.db
    .prepare(`SELECT name FROM names_of_${model} ORDER BY at`)
    .all()
    .map(row => row['name'])

const close = async (begun: Folding): Promise<void> => {
  open.splice(open.indexOf(begun), 1)
  await begun.runner.stop()
}

const inFolder = (name: string): string => `${testStore.dataDir}/${name}.sqlite`

describe('a read model that cannot take an event', () => {
  test('halts with an alert at it, keeps what it had, and takes nothing after it; the others go on', async () => {
    const begun = folding([names('good'), names('bad', ['c'])])
    await begun.runner.caughtUp
    await write(service('a'), service('b'), service('c'), service('d'))
    const last = await write(service('e'))
    expect(await begun.runner.waitFor(last, 5_000)).toBe(true)
    expect(namesIn(begun, 'good')).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(namesIn(begun, 'bad')).toEqual(['a', 'b'])
    expect(begun.halts).toEqual([['bad', 'cannot take c']])
    expect(begun.runner.halted()).toEqual([{name: 'bad', reason: 'cannot take c'}])
  })

  test('does so again after a restart, and goes on from that event with a program that can take it', async () => {
    const file = inFolder('halted')
    const first = folding([names('good'), names('bad', ['b'])], file)
    await first.runner.caughtUp
    await first.runner.waitFor(await write(service('a'), service('b'), service('c')), 5_000)
    await close(first)
    const second = folding([names('good'), names('bad', ['b'])], file)
    await second.runner.caughtUp
    expect(second.halts).toEqual([['bad', 'cannot take b']])
    await close(second)
    const repaired = folding([names('good'), names('bad')], file)
    await repaired.runner.caughtUp
    expect(repaired.halts).toEqual([])
    expect(namesIn(repaired, 'bad')).toEqual(['a', 'b', 'c'])
    expect(namesIn(repaired, 'good')).toEqual(['a', 'b', 'c'])
  })

  test('whose rows were spoilt behind its back is folded anew at the next start', async () => {
    const file = inFolder('spoilt')
    const first = folding([names('good'), names('bad')], file)
    await first.runner.caughtUp
    await first.runner.waitFor(await write(service('a')), 5_000)
    first.runner.db.exec(`INSERT INTO names_of_bad VALUES ('b', 0)`)
    await first.runner.waitFor(await write(service('b'), service('c')), 5_000)
    expect(first.halts.map(([name]) => name)).toEqual(['bad'])
    await close(first)
    const second = folding([names('good'), names('bad')], file)
    await second.runner.caughtUp
    expect(second.halts).toEqual([])
    expect(namesIn(second, 'bad')).toEqual(['a', 'b', 'c'])
  })

  test('when all are of that kind, still answers for what was folded before it', async () => {
    const begun = folding([names('bad', ['b'])])
    await begun.runner.caughtUp
    const before = await write(service('a'))
    const after = await write(service('b'))
    await halting(begun, 1)
    expect(begun.runner.position()).toBe(before)
    expect(await begun.runner.waitFor(before, 0)).toBe(true)
    expect(await begun.runner.waitFor(after, 0)).toBe(false)
  })
})

describe('an event that nobody can read', () => {
  test.each([
    ['of a type from the future', {type: 'CustomerTeleported', data: {}}],
    ['of a version from the future', {...service('x'), version: 99}],
    ['that does not fit its shape', {type: 'ServiceListed', data: {serviceId: 7}}],
  ])('%s halts every read model at it, with an alert each, after all that came before it', async (_, poison) => {
    const begun = folding([names('one'), names('two')])
    await begun.runner.caughtUp
    // In one append, so that they arrive together.
    await write(service('a'), service('b'), poison, service('c'))
    await write(service('d'))
    await halting(begun, 2)
    expect(begun.halts.map(([name]) => name)).toEqual(['one', 'two'])
    expect(namesIn(begun, 'one')).toEqual(['a', 'b'])
    expect(namesIn(begun, 'two')).toEqual(['a', 'b'])
  })

  test('is told to nobody: what cannot be folded must not be acted upon, nor what comes after it', async () => {
    const begun = folding([names('one')])
    await begun.runner.caughtUp
    const told: string[] = []
    begun.runner.onBatch(batch => told.push(...batch.map(({event}) => (event.data as {name: string}).name)))
    await write(service('a'), {type: 'CustomerTeleported', data: {}}, service('b'))
    const last = await write(service('c'))
    const other = folding([names('witness', [])], undefined, withoutPoison(store))
    await other.runner.caughtUp
    await other.runner.waitFor(last, 5_000)
    expect(told).toEqual(['a'])
  })

  test('is met again after a restart, at the same place, and nothing is folded twice', async () => {
    const file = inFolder('poisoned')
    const projections = [names('one')]
    await write(service('a'), {type: 'CustomerTeleported', data: {}}, service('b'))
    for (let start = 0; start < 3; start++) {
      const begun = folding(projections, file)
      await begun.runner.caughtUp
      expect(begun.halts.map(([name]) => name)).toEqual(['one'])
      expect(namesIn(begun, 'one')).toEqual(['a'])
      await close(begun)
    }
  })
})

describe('a waiter', () => {
  test('gets an answer at once for what is folded, and in bounded time for what is not', async () => {
    const begun = folding([names('one')])
    await begun.runner.caughtUp
    const commit = await write(service('a'))
    expect(await begun.runner.waitFor(commit, 5_000)).toBe(true)
    expect(namesIn(begun, 'one')).toEqual(['a'])
    expect(await begun.runner.waitFor(commit, 0)).toBe(true)
    expect(await begun.runner.waitFor(commit + 1_000_000n, 1)).toBe(false)
  })

  test('reads its own write, however many come at once', async () => {
    const begun = folding([names('one')])
    await begun.runner.caughtUp
    for (let round = 0; round < 50; round++) {
      const commit = await write(service(`s-${round}`))
      expect(await begun.runner.waitFor(commit, 5_000)).toBe(true)
      expect(namesIn(begun, 'one').at(-1)).toBe(`s-${round}`)
    }
  })
})

describe('checkpoints', () => {
  test('beyond the head of the log, as after the restore of an older store, are not believed', async () => {
    const file = inFolder('restored')
    const first = folding([names('one')], file)
    await first.runner.caughtUp
    await first.runner.waitFor(await write(service('a'), service('b'), service('c')), 5_000)
    await close(first)
    const other = await startTestStore()
    try {
      await other.store.append('catalogue-main', 'noStream', [{...service('z'), id: randomUUID(), metadata}])
      const second = folding([names('one')], file, other.store)
      await second.runner.caughtUp
      expect(namesIn(second, 'one')).toEqual(['z'])
      await close(second)
    } finally {
      await other.stop()
    }
  })

  test('within another log, as when others wrote to a restored store meanwhile, are not believed', async () => {
    const file = inFolder('diverged')
    const first = folding([names('one')], file)
    await first.runner.caughtUp
    await first.runner.waitFor(await write(service('a'), service('b')), 5_000)
    await close(first)
    const other = await startTestStore()
    try {
      const events = ['a', 'x', 'y', 'z'].map(name => ({...service(name), id: randomUUID(), metadata}))
      await other.store.append('catalogue-main', 'noStream', events)
      const second = folding([names('one')], file, other.store)
      await second.runner.caughtUp
      expect(namesIn(second, 'one')).toEqual(['a', 'x', 'y', 'z'])
      await close(second)
    } finally {
      await other.stop()
    }
  })

  test.each(['deleteStream', 'tombstoneStream'] as const)(
    'whose last event is gone from the log (%s) are folded again from what is there',
    async gone => {
      const file = inFolder(gone)
      const first = folding([names('one')], file)
      await first.runner.caughtUp
      await first.runner.waitFor(await write(service('a')), 5_000)
      const last = {...service('b'), id: randomUUID(), metadata}
      const {position} = await testStore.store.append('catalogue-gone', 'noStream', [last])
      expect(await first.runner.waitFor(position.commit, 5_000)).toBe(true)
      await close(first)
      await testStore.store[gone]('catalogue-gone', 0n)
      const second = folding([names('one')], file)
      await second.runner.caughtUp
      expect(namesIn(second, 'one')).toContain('a')
      expect(await second.runner.waitFor(await write(service('c')), 5_000)).toBe(true)
      expect(namesIn(second, 'one')).toContain('c')
      await close(second)
    },
  )

  test('of an emptied store are not believed either', async () => {
    const file = inFolder('emptied')
    const first = folding([names('one')], file)
    await first.runner.caughtUp
    await first.runner.waitFor(await write(service('a')), 5_000)
    await close(first)
    const other = await startTestStore()
    try {
      const second = folding([names('one')], file, other.store)
      await second.runner.caughtUp
      expect(namesIn(second, 'one')).toEqual([])
      await close(second)
    } finally {
      await other.stop()
    }
  })

  test('of different age are each followed from their own: the younger is given nothing twice', async () => {
    const file = inFolder('ages')
    const first = folding([names('young')], file)
    await first.runner.caughtUp
    await first.runner.waitFor(await write(service('a'), service('b')), 5_000)
    await close(first)
    // A read model that is new begins at the first event; a second delivery to the other would break its key.
    const second = folding([names('young'), names('new')], file)
    await second.runner.caughtUp
    await second.runner.waitFor(await write(service('c')), 5_000)
    expect(second.halts).toEqual([])
    expect(namesIn(second, 'young')).toEqual(['a', 'b', 'c'])
    expect(namesIn(second, 'new')).toEqual(['a', 'b', 'c'])
  })

  test('are kept when the engine stops before the store could be reached', async () => {
    const file = inFolder('unreached')
    const first = folding([names('one')], file)
    await first.runner.caughtUp
    await first.runner.waitFor(await write(service('a')), 5_000)
    await close(first)
    const away: EventStore = {...store, readAll: () => Promise.reject(new StoreUnavailable('away'))}
    const second = folding([names('one')], file, away)
    await until(() => second.losses.length > 0)
    await close(second)
    const third = folding([names('one')], file)
    expect(namesIn(third, 'one')).toEqual(['a'])
    await third.runner.caughtUp
    expect(namesIn(third, 'one')).toEqual(['a'])
  })
})

describe('a delivery', () => {
  test('that the store repeats changes nothing', async () => {
    const projections = [names('one')]
    const begun = folding(projections, undefined, deliveringTwice(store))
    await begun.runner.caughtUp
    const last = await write(service('a'), service('b'), service('c'))
    await begun.runner.waitFor(last, 5_000)
    expect(begun.halts).toEqual([])
    expect(namesIn(begun, 'one')).toEqual(['a', 'b', 'c'])
  })

  test('that is cut off after any number of events is taken up where it ended', async () => {
    const all = Array.from({length: 12}, (_, index) => service(`s-${index}`))
    await write(...all)
    for (let cut = 1; cut <= 12; cut++) {
      const begun = folding([names('one')], undefined, cutAfter(store, cut))
      await begun.runner.caughtUp
      expect(namesIn(begun, 'one')).toEqual(all.map(({data}) => data.name))
      expect(begun.halts).toEqual([])
      await close(begun)
    }
  })
})

describe('what a crash leaves', () => {
  test('never shows rows without their checkpoint or a checkpoint without its rows', async () => {
    const file = inFolder('crashing')
    const projections = [names('one'), names('two')]
    const begun = folding(projections, file)
    await begun.runner.caughtUp
    const copies: string[] = []
    begun.runner.onBatch(() => {
      const copy = inFolder(`crashed-${copies.length}`)
      copyModels(file, copy)
      copies.push(copy)
    })
    let last = 0n
    for (let round = 0; round < 20; round++) last = await write(service(`a-${round}`), service(`b-${round}`))
    await begun.runner.waitFor(last, 5_000)
    const live = rowsOf(begun.runner.db, projections)
    expect(copies.length).toBeGreaterThan(0)
    for (const copy of copies) expect(await foldedRows(store, {projections, file: copy})).toEqual(live)
  })
})

const halting = (begun: Folding, count: number): Promise<void> => until(() => begun.halts.length >= count)

async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    if (turns > 1_000_000) throw new Error('it did not come about')
    await turn()
  }
}

/** Every event comes twice in a row. */
function deliveringTwice(from: EventStore): EventStore {
  return {
    ...from,
    async *subscribeToAll(options) {
      for await (const message of from.subscribeToAll(options)) {
        yield message
        if (message.type === 'event') yield message
      }
    },
  }
}

/** The first subscription is lost after so many events. */
function cutAfter(from: EventStore, count: number): EventStore {
  let isFirst = true
  return {
    ...from,
    async *subscribeToAll(options) {
      let events = 0
      const cuts = isFirst
      isFirst = false
      for await (const message of from.subscribeToAll(options)) {
        if (cuts && message.type === 'event' && ++events > count) throw new StoreUnavailable('cut')
        yield message
      }
    },
  }
}

/** Leaves out what nobody can read. */
function withoutPoison(from: EventStore): EventStore {
  return {
    ...from,
    async *subscribeToAll(options) {
      for await (const message of from.subscribeToAll(options)) {
        if (message.type !== 'event' || message.event.type !== 'CustomerTeleported') yield message
      }
    },
  }
}
