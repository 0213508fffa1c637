import {rm} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import {diceOf} from '../simulation/dice.ts'
import {runTool, toolPaths} from '../store-tools/run-tool.ts'
import {createClient} from './client.ts'
import {afterAllMs, conclude, startOrFail, withLog} from './closing.ts'
import {letLoose, registerCustomers} from './customers.ts'
import {crashNode, testClock} from './nodes.ts'
import {startPark} from './park.ts'

test('restored from a backup made under load, it has all that was acknowledged before, and its read models follow', async () => {
  const dice = diceOf(1)
  const clock = testClock()
  const violations: string[] = []
  const report = (violation: string): void => void violations.push(violation)
  const park = await startPark({nowMs: () => clock.nowMs(), bootMs: 100})
  onTestFinished(() => park.close())
  const node = await crashNode({name: 'one', clock, parkUrl: park.url})
  onTestFinished(() => node.close())
  const newClient = () => createClient({nodes: [node], clock, chance: () => dice.next(), report, answerMsMax: 20_000})
  const client = newClient()
  const parts = {client, clock, dice, count: 6, report}
  await startOrFail(node)
  const userIds = await registerCustomers(parts, AbortSignal.timeout(60_000))
  const customers = letLoose(parts, userIds)
  const answers = async (count: number): Promise<void> => {
    const enough = client.acknowledged.length + count
    await expect.poll(() => client.acknowledged.length, {timeout: 60_000}).toBeGreaterThan(enough)
  }
  await answers(100)
  const file = join(node.dataFolder, '..', 'copy.backup')
  const acknowledged = [...client.acknowledged]
  expect(await runTool(toolPaths.backup, [file, '--data', node.dataFolder])).toMatchObject({status: 0})
  await answers(50)
  await customers.stop()
  await node.serving()?.stop('SIGKILL')

  const {dataFolder} = node
  await rm(join(dataFolder, 'events'), {recursive: true})
  expect(await runTool(toolPaths.restore, [file, '--data', dataFolder])).toMatchObject({status: 0})
  clock.jump(afterAllMs)
  // What was done to machines after the backup is not in the log any more, and neither is what was acknowledged then.
  // Nor is what the first client has seen of it a place in this log: the one who looks now knows of none.
  const figures = await conclude({
    nodes: [node],
    client: {...newClient(), sent: client.sent, acknowledged},
    clock,
    userIds,
    park: {...park, effects: []},
    report,
    readyMs: [],
    withStore: read => withLog(dataFolder, read),
  })
  expect(violations).toEqual([])
  expect(figures.acknowledged).toBeGreaterThan(100)
}, 120_000)
