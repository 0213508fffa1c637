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
  /** To be called when the rows have changed: what was read is kept until then, as every booking asks for it. */
  forget(): void
}

export function catalogueQueries(db: DatabaseSync): CatalogueQueries {
  const all = db.prepare('SELECT kind, id, data FROM catalogue_entries ORDER BY id')
  let kept: ReadonlyMap<string, ReadonlyMap<string, unknown>> | null = null

  const read = (): ReadonlyMap<string, ReadonlyMap<string, unknown>> => {
    const kinds = new Map<string, Map<string, unknown>>()
    for (const row of all.all()) {
      const entries = kinds.get(String(row['kind'])) ?? new Map<string, unknown>()
      kinds.set(String(row['kind']), entries.set(String(row['id']), JSON.parse(String(row['data']))))
    }
    return kinds
  }
  const every = <Entry>(kind: string): readonly Entry[] => {
    kept ??= read()
    return [...(kept.get(kind)?.values() ?? [])] as Entry[]
  }
  const single = <Entry>(kind: string, id: string): Entry | null => {
    kept ??= read()
    return (kept.get(kind)?.get(id) as Entry | undefined) ?? null
  }
  return {
    services: () => every<ServiceEntry>('service'),
    service: id => single<ServiceEntry>('service', id),
    realms: () => every<RealmEntry>('realm'),
    realm: id => single<RealmEntry>('realm', id),
    packs: () => every<PackEntry>('pack'),
    pack: id => single<PackEntry>('pack', id),
    discount: () => single<DiscountEntry>('discount', 'main'),
    forget() {
      kept = null
    },
  }
}

/** Whether an event of this type changes what these queries answer. */
export function changesCatalogue(type: string): boolean {
  return catalogueTypes.has(type)
}

const catalogueTypes: ReadonlySet<string> = new Set<CatalogueEvent['type']>([
  'ServiceListed',
  'RealmListed',
  'PackListed',
  'DiscountSet',
])
