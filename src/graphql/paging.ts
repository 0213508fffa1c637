import {badInput} from './errors.ts'
import {rangeInput} from './inputs.ts'

export interface PageArgs {
  readonly first?: number | null | undefined
  readonly last?: number | null | undefined
  readonly before?: string | null | undefined
  readonly after?: string | null | undefined
}

export const pageMax = 100
export const pageDefault = 20

/** A list that is read in pages by the place of its rows; a place is text that names one row for good. */
export interface PagedSource<Row, Place> {
  placeOf(row: Row): readonly (string | number)[]
  /** Checks a place that a cursor held; null when it is none. */
  parsePlace(parts: readonly unknown[]): Place | null
  /** Rows strictly between the places, from the list's front, or from its back when `backwards`; at most `limit`. */
  load(page: {
    readonly after: Place | null
    readonly before: Place | null
    readonly limit: number
    readonly backwards: boolean
  }): readonly Row[]
}

/** One page of a list, as the Relay specification of connections has it. */
export function pageOf<Row, Place>(args: PageArgs, source: PagedSource<Row, Place>) {
  const {count, backwards} = sizeOf(args)
  const after = placeIn('after', args.after, source)
  const before = placeIn('before', args.before, source)
  // One more than is asked for tells whether there are more.
  const rows = source.load({after, before, limit: count + 1, backwards})
  const page = rows.slice(0, count)
  if (backwards) page.reverse()
  const edges = page.map(node => ({node, cursor: cursorOf(source.placeOf(node))}))
  const hasMore = rows.length > count
  return {
    edges,
    pageInfo: {
      hasNextPage: backwards ? before !== null : hasMore,
      hasPreviousPage: backwards ? hasMore : after !== null,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  }
}

/** How much is asked for. Throws BAD_INPUT. */
function sizeOf(args: PageArgs): {readonly count: number; readonly backwards: boolean} {
  const {first = null, last = null} = args
  if (first !== null && last !== null) throw badInput('last', 'Ask for the first or the last, not both.')
  if (last !== null) return {count: rangeInput('last', last, 1, pageMax), backwards: true}
  return {count: rangeInput('first', first ?? pageDefault, 1, pageMax), backwards: false}
}

function cursorOf(place: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(place), 'utf8').toString('base64url')
}

function placeIn<Row, Place>(
  field: 'after' | 'before',
  cursor: string | null | undefined,
  source: PagedSource<Row, Place>,
): Place | null {
  if (typeof cursor !== 'string') return null
  const place = cursor.length > 500 ? null : source.parsePlace(partsOf(cursor))
  if (place === null) throw badInput(field, 'This is no cursor of this list.')
  return place
}

function partsOf(cursor: string): readonly unknown[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
    return Array.isArray(parts) ? parts : []
  } catch (error) {
    if (error instanceof SyntaxError) return []
    throw error
  }
}

/** For short lists that are at hand as a whole, in order. */
export function pageOfAll<Row>(args: PageArgs, rows: readonly Row[], idOf: (row: Row) => string) {
  return pageOf<Row, string>(args, {
    placeOf: row => [idOf(row)],
    parsePlace: ([id]) => (typeof id === 'string' ? id : null),
    load({after, before, limit, backwards}) {
      const from = after === null ? 0 : indexOf(rows, after, idOf) + 1
      const to = before === null ? rows.length : indexOf(rows, before, idOf)
      const between = rows.slice(from, Math.max(from, to))
      return backwards ? between.reverse().slice(0, limit) : between.slice(0, limit)
    },
  })
}

/** Of a row that is no longer in the list, past its end: nothing follows it. */
function indexOf<Row>(rows: readonly Row[], id: string, idOf: (row: Row) => string): number {
  const index = rows.findIndex(row => idOf(row) === id)
  return index < 0 ? rows.length : index
}
