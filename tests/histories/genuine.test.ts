import {expect, test} from 'vitest'
import {genuineStage} from './genuine.ts'
import {graphqlHistory} from './graphql.ts'
import {judge} from './verdict.ts'

const size = {clients: 8, callsEach: 200}

test('what clients of two nodes on one disk see can be explained, nine histories at once', async () => {
  const stage = await genuineStage()
  try {
    const seeds = Array.from({length: 9}, (_, index) => index + 1)
    const histories = await Promise.all(seeds.map(seed => stage.history(seed, size)))
    for (const history of histories) {
      expect({name: history.name, violations: judge(history).violations}).toEqual({name: history.name, violations: []})
    }
  } finally {
    await stage.stop()
  }
}, 240_000)

test('what clients of two programs see through GraphQL over HTTP can be explained', async () => {
  expect(judge(await graphqlHistory(1, size)).violations).toEqual([])
}, 240_000)
