import {readFileSync} from 'node:fs'
import {stripTypeScriptTypes} from 'node:module'
import {expect, test} from 'vitest'
import {guardsOf, mutated} from './mutants/mutant.ts'
import {planted} from './planted.ts'

const root = new URL('../../', import.meta.url)

test.each(planted)('the guard is there once, and the program is one without it: $name', bug => {
  for (const guard of guardsOf(bug)) {
    const source = readFileSync(new URL(guard.file, root), 'utf8')
    const without = mutated(guard, source)
    expect(without).not.toBe(source)
    expect(() => stripTypeScriptTypes(without)).not.toThrow()
  }
})

test('no two bugs have one name', () => {
  expect(new Set(planted.map(({name}) => name)).size).toBe(planted.length)
})
