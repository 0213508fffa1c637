import {randomUUID} from 'node:crypto'
import {rm} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import type {DomainEvent, Projection} from '../../projections/projection.ts'
import {openReadModels} from '../../projections/read-models.ts'
import {idOf} from '../../src/kernel/ids.ts'
import type {StoredEvent} from '../../src/kernel/messages.ts'
import {at} from '../support/given.ts'
import {temporaryFolder} from '../support/store.ts'

const position = (commit: bigint) => ({commit, prepare: commit})

function realmListed(commit: bigint): StoredEvent<DomainEvent> {
  const data = {realmId: idOf<'Realm'>('EU'), name: 'Europe', poolId: idOf<'Pool'>('eu')}
  const metadata = {$correlationId: 'c', $causationId: 'c', actor: {type: 'process', name: 'test'}, version: 1} as const
  const place = {id: randomUUID(), stream: 'catalogue-main', revision: commit, ...position(commit)}
  return {event: {type: 'RealmListed', data}, ...place, metadata: {...metadata, at: at('08:00')}}
}

test('a disk that fills up while it is sought who cannot take an event halts nobody', async () => {
  const folder = await temporaryFolder()
  onTestFinished(() => rm(folder, {recursive: true}))
  let tries = 0
  const troubled: Projection = {
    name: 'troubled',
    version: 1,
    tables: ['blobs'],
    ddl: 'CREATE TABLE blobs (data BLOB) STRICT',
    open(db) {
      const write = db.prepare('INSERT INTO blobs VALUES (zeroblob(100000))')
      return () => {
        if (++tries === 1) {
          const pages = Number(db.prepare('PRAGMA page_count').get()?.['page_count'])
          db.exec(`PRAGMA max_page_count = ${pages}`)
          throw new Error('the event, it seems')
        }
        write.run()
      }
    },
  }
  const halted: string[] = []
  const models = openReadModels(join(folder, 'models.sqlite'), [troubled], name => halted.push(name))
  onTestFinished(() => models.close())
  models.apply([realmListed(1n)], position(1n))
  expect(models.takeLoss()?.message).toMatch(/full/)
  expect(halted).toEqual([])
  expect(models.position()).toBe(-1n)

  models.db.exec('PRAGMA max_page_count = 1000000')
  models.apply([realmListed(1n)], position(1n))
  expect(models.position()).toBe(1n)
  expect(models.db.prepare('SELECT count(*) AS count FROM blobs').get()).toEqual({count: 1})
  expect(models.halted()).toEqual([])
})
