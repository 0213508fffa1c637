import {rm} from 'node:fs/promises'
import {join} from 'node:path'
import {DatabaseSync} from 'node:sqlite'
import {onTestFinished, expect, test} from 'vitest'

import {again, registerUser, signInOwner, type Api} from '../journeys/api.ts'
import {programHome} from '../support/program.ts'
import {runTool, toolPaths} from './run-tool.ts'

const balanceOf = async (customer: Api): Promise<unknown> => {
  const {viewer} = await customer.ask<{viewer: {balance: {availableMinutes: number}}}>(
    '{ viewer { balance { availableMinutes } } }',
  )
  return viewer.balance.availableMinutes
}

/** Every row of every read model. */
function rowsOf(file: string): unknown {
  const db = new DatabaseSync(file, {readOnly: true})
  const names = db
    .prepare(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('usage', 'checkpoints') ORDER BY name",
    )
    .all()
  const rows = names.map(({name}) => {
    const select = db.prepare(`SELECT * FROM "${String(name)}"`)
    select.setReadBigInts(true)
    return [
      name,
      select
        .all()
        .map(row => JSON.stringify(row, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)))
        .toSorted(),
    ]
  })
  db.close()
  return rows
}

test('a running program is backed up; restored, its read models forget by themselves what came after', async () => {
  const home = await programHome()
  onTestFinished(() => home.close())
  const file = join(home.dataFolder, '..', 'copy.backup')
  const readModels = join(home.dataFolder, 'read-models.sqlite')
  const first = await home.start()
  const owner = await signInOwner(first)
  const customer = await registerUser(first, owner, 'Ada')
  const grant = (minutes: number) => owner.change('grantHours', {userId: customer.userId, minutes, reason: 'a gift'})
  await grant(60)
  expect(await runTool(toolPaths.backup, [file, '--data', home.dataFolder])).toMatchObject({status: 0})
  await grant(30)
  expect(await balanceOf(customer)).toBe(90)
  await first.stop()

  await rm(join(home.dataFolder, 'events'), {recursive: true})
  expect(await runTool(toolPaths.restore, [file, '--data', home.dataFolder])).toMatchObject({status: 0})
  const second = await home.start()
  expect(await balanceOf(again(second, customer))).toBe(60)
  await second.stop()

  const seen = rowsOf(readModels)
  await home.launch({}, 'rebuild').exited
  expect(seen).toEqual(rowsOf(readModels))
})
