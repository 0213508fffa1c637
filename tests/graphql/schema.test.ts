import {readFileSync} from 'node:fs'
import {isInterfaceType, isObjectType, isUnionType} from 'graphql/index.js'
import {describe, expect, test} from 'vitest'
import {printedSchema} from '../../src/graphql/print-schema.ts'
import {schema} from '../../src/graphql/schema.ts'

describe('the schema', () => {
  test('is the one in schema.graphql; after a change run `npm run schema`', () => {
    expect(readFileSync(new URL('../../schema.graphql', import.meta.url), 'utf8')).toBe(printedSchema())
  })

  const mutations = Object.values(schema.getMutationType()?.getFields() ?? {})

  test.each(mutations.map(field => [field.name, field] as const))(
    '%s takes an idempotencyKey and answers a union of one success, with its position, and refusals',
    (name, field) => {
      const input = field.args.find(argument => argument.name === 'input')?.type.toString()
      expect(input).toBe(`${name[0]?.toUpperCase()}${name.slice(1)}Input!`)
      expect(printedSchema()).toMatch(new RegExp(`input ${input?.slice(0, -1)} {[^}]*idempotencyKey: String!`))
      const payload = schema.getType(field.type.toString().replace('!', ''))
      if (!isUnionType(payload)) throw new Error(`${name} answers no union`)
      const successes = payload.getTypes().filter(type => type.getInterfaces().length === 0)
      expect(successes.map(type => type.name)).toEqual([`${name[0]?.toUpperCase()}${name.slice(1)}Success`])
      expect(successes[0]?.getFields()['position']?.type.toString()).toBe('String!')
    },
  )

  test('has a type for each refusal, all with code, message, field and position', () => {
    const refusal = schema.getType('Refusal')
    if (!isInterfaceType(refusal)) throw new Error('no Refusal')
    const names = schema.getImplementations(refusal).objects.map(type => type.name)
    expect(names).toEqual(expect.arrayContaining(['SlotTaken', 'InsufficientHours', 'IdempotencyKeyReused']))
    expect(Object.keys(refusal.getFields()).sort()).toEqual(['code', 'field', 'message', 'position'])
  })

  test('shows nowhere how machines are driven, nor what is stored sealed', () => {
    const fields = Object.values(schema.getTypeMap()).flatMap(type =>
      isObjectType(type) && !type.name.startsWith('__') ? Object.keys(type.getFields()) : [],
    )
    expect(fields).toContain('displayName')
    expect(fields.filter(name => /config|sealed|wrapped|secret/i.test(name))).toEqual([])
  })
})
