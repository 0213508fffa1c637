import {expect, test} from 'vitest'
import {createRepeats} from '../../src/event-store/repeats.ts'
import {derivedCommandId, idOf} from '../../src/kernel/ids.ts'

const person = {type: 'user', userId: idOf<'User'>('ann')} as const
const process = {type: 'process', name: 'power'} as const
const command = (number: number) => ({commandId: derivedCommandId('command', String(number)), actor: person})

test('knows the commands of people, and of those the newest', () => {
  const repeats = createRepeats()
  for (let number = 0; number < 201; number++) repeats.remember(command(number))
  expect([0, 1, 200, 201].map(number => repeats.isRepeat(command(number)))).toEqual([false, true, true, false])
})

test('lets a process do again what it names alike', () => {
  const repeats = createRepeats()
  const again = {...command(1), actor: process}
  repeats.remember(again)
  expect(repeats.isRepeat(again)).toBe(false)
})

test('knows nothing of a stream that is gone', () => {
  const repeats = createRepeats()
  repeats.remember(command(1))
  repeats.forget()
  expect(repeats.isRepeat(command(1))).toBe(false)
})
