import {readFileSync} from 'node:fs'
import {stripTypeScriptTypes} from 'node:module'
import {fileURLToPath} from 'node:url'
import {expect, test} from 'vitest'
import {crashPoints, planted} from './crash-points.ts'

const pathOf = (file: string): string => fileURLToPath(new URL(`../../${file}`, import.meta.url))

test('every crash point has a name of its own', () => {
  const names = crashPoints.map(({name}) => name)
  expect(new Set(names).size).toBe(names.length)
})

test.each(crashPoints)('$name: its text is in the program once, and the program dies there', point => {
  const path = pathOf(point.file)
  const call = 'passCrashPoint()'
  const source = planted(point, path, readFileSync(path, 'utf8'), call)
  expect(source.split(call)).toHaveLength(2)
  // It still is a program.
  expect(() => stripTypeScriptTypes(source)).not.toThrow()
  for (const {file} of point.also ?? []) {
    expect(planted(point, pathOf(file), readFileSync(pathOf(file), 'utf8'), call)).not.toBe(
      readFileSync(pathOf(file), 'utf8'),
    )
  }
})
