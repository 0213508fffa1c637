import type {DatabaseSync} from 'node:sqlite'
import type {CatalogueEvent} from '../src/catalogue/events.ts'
import type {Projection} from './projection.ts'

/** What is offered: services, realms, packs and the discount. Small, so each entry is kept as it was listed. */
export const catalogue: Projection = {
  name: 'catalogue',
  version: 1,
  tables: ['catalogue_entries'],
  ddl: `
    CREATE TABLE catalogue_entries (
      kind TEXT NOT NULL,
      id TEXT NOT NULL,
      data TEXT NOT NULL,
      PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
  `,
  open(db) {
    const list = db.prepare(`
      INSERT INTO catalogue_entries VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET data = excluded.data`)
    return ({event}) => {
      switch (event.type) {
        case 'ServiceListed':
          list.run('service', event.data.serviceId, JSON.stringify(event.data))
          return
        case 'RealmListed':
          list.run('realm', event.data.realmId, JSON.stringify(event.data))
          return
        case 'PackListed':
          list.run('pack', event.data.packId, JSON.stringify(event.data))
          return
        case 'DiscountSet':
          list.run('discount', 'main', JSON.stringify(event.data))
          return
        default:
      }
    }
  },
}

type DataOf<Type extends CatalogueEvent['type']> = Extract<CatalogueEvent, {type: Type}>['data']
export type ServiceEntry = DataOf<'ServiceListed'>
export type RealmEntry = DataOf<'RealmListed'>
export type PackEntry = DataOf<'PackListed'>
export type DiscountEntry = DataOf<'DiscountSet'>

export interface CatalogueQueries {
  services(): readonly ServiceEntry[]
  service(id: string): ServiceEntry | null
  realms(): readonly RealmEntry[]
  realm(id: string): RealmEntry | null
  packs(): readonly PackEntry[]
  pack(id: string): PackEntry | null
  discount(): DiscountEntry | null
}

export function catalogueQueries(db: DatabaseSync): CatalogueQueries {
  const every = db.prepare('SELECT data FROM catalogue_entries WHERE kind = ? ORDER BY id')
  const one = db.prepare('SELECT data FROM catalogue_entries WHERE kind = ? AND id = ?')
  const all = <Entry>(kind: string): readonly Entry[] => every.all(kind).map(row => entryOf<Entry>(row))
  const single = <Entry>(kind: string, id: string): Entry | null => {
    const row = one.get(kind, id)
    return row === undefined ? null : entryOf<Entry>(row)
  }
  return {
    services: () => all<ServiceEntry>('service'),
    service: id => single<ServiceEntry>('service', id),
    realms: () => all<RealmEntry>('realm'),
    realm: id => single<RealmEntry>('realm', id),
    packs: () => all<PackEntry>('pack'),
    pack: id => single<PackEntry>('pack', id),
    discount: () => single<DiscountEntry>('discount', 'main'),
  }
}

function entryOf<Entry>(row: Record<string, unknown>): Entry {
  return JSON.parse(String(row['data'])) as Entry
}
