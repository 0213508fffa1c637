import type {z} from 'zod'
import {DriverError, type DriverKind} from './port.ts'

/** Checks what an operator typed against a driver's schema and names every fault by its field, never by its value. */
export function parseWith(schema: z.ZodType, input: unknown): ReturnType<DriverKind['parseConfig']> {
  const result = schema.safeParse(input)
  if (result.success) return {ok: true, config: Object.freeze(result.data as Record<string, unknown>)}
  const faults = result.error.issues.flatMap(issue => {
    const path = issue.path.map(String)
    if (issue.code !== 'unrecognized_keys') return [{field: path.join('.'), message: issue.message}]
    return issue.keys.map(key => ({field: [...path, key].join('.'), message: 'unknown setting'}))
  })
  return {ok: false, faults: faults.slice(0, 50)}
}

/** Reads a stored configuration back. @throws DriverError `permanent` when an older or newer program wrote it otherwise. */
export function storedConfig<T>(schema: z.ZodType<T>, kind: string, config: unknown): T {
  const result = schema.safeParse(config)
  if (result.success) return result.data
  const fields = result.error.issues.map(issue => issue.path.join('.')).join(', ')
  throw new DriverError('permanent', `the stored ${kind} configuration does not hold: ${fields.slice(0, 200)}`)
}
