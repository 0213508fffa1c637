import {readFileSync, writeFileSync} from 'node:fs'
import {lexicographicSortSchema, printSchema} from 'graphql/index.js'
import {schema} from './schema.ts'

/** The schema as text, the same for the same code. */
export function printedSchema(): string {
  return `${printSchema(lexicographicSortSchema(schema))}\n`
}

const file = new URL('../../schema.graphql', import.meta.url)

if (import.meta.main) {
  writeFileSync(file, printedSchema())
  process.stdout.write(`schema.graphql has ${readFileSync(file, 'utf8').split('\n').length} lines\n`)
}
