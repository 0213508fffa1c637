import {readdirSync, readFileSync, writeFileSync} from 'node:fs'
import {basename} from 'node:path'
import type {SavedHistory} from './shrink.ts'

/**
 * Short histories that once showed a fault, each a file that says which seed, which days and which happenings. They are
 * numbers of what a seed makes up: when what people do or what befalls them is changed, they tell of something else.
 */
const folder = new URL('histories/', import.meta.url)

export function savedHistories(): readonly (readonly [name: string, history: SavedHistory])[] {
  const files = readdirSync(folder).filter(file => file.endsWith('.json'))
  return files.map(file => [
    basename(file, '.json'),
    JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as SavedHistory,
  ])
}

/** @returns the name of the file */
export function saveHistory({seed, days, only, fault}: SavedHistory): string {
  const words = fault.toLowerCase().replace(/[^a-z]+/g, '-')
  const file = `seed-${seed}-${words.replace(/^-|-$/g, '').slice(0, 60)}.json`
  const text = JSON.stringify({seed, days, fault, only}, null, 2)
  // Numbers side by side, as the formatter has them.
  const short = text.replace(/\[[\s\d,]*\]/g, numbers =>
    numbers.replace(/\s+/g, ' ').replace('[ ', '[').replace(' ]', ']'),
  )
  writeFileSync(new URL(file, folder), `${short}\n`)
  return file
}
