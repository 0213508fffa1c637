import {expect, test} from 'vitest'
import {allWireFaults, cutWires, endHolder, freezeHolder, killStore, thawFirst} from './disturbances.ts'
import {runSeveral} from './several.ts'

/** The lease lasts 10 s, and candidates look every second. */
const takeOverMsMax = 15_000

test('a lease holder that stands still and comes to again does nothing that its successor has done', async () => {
  const {violations, takeOversMs, machineStarts} = await runSeveral({
    nodes: 2,
    seed: 1,
    // It has written down that it will start a machine, and is about to.
    firstStart: {dieAt: {point: 'after the intent of a power command', pass: 1, how: 'SIGSTOP'}},
    async disturb(scene) {
      await thawFirst(scene)
      await freezeHolder(scene)
    },
  })
  expect(violations).toEqual([])
  expect(takeOversMs).toHaveLength(2)
  expect(Math.max(...takeOversMs)).toBeLessThanOrEqual(takeOverMsMax)
  expect(machineStarts).toBeGreaterThan(0)
}, 240_000)

test('three nodes take commands anywhere, and the lease of one that dies or leaves is taken over', async () => {
  const {violations, takeOversMs, acknowledged} = await runSeveral({
    nodes: 3,
    seed: 2,
    async disturb(scene) {
      await endHolder(scene, 'SIGKILL')
      await endHolder(scene, 'SIGTERM')
    },
  })
  expect(violations).toEqual([])
  expect(takeOversMs).toHaveLength(2)
  expect(Math.max(...takeOversMs)).toBeLessThanOrEqual(takeOverMsMax)
  expect(acknowledged).toBeGreaterThan(100)
}, 240_000)

test('whatever befalls the wires to the store, or the store itself, no request is lost or done twice', async () => {
  const {violations, repeated} = await runSeveral({
    nodes: 2,
    seed: 3,
    async disturb(scene) {
      await cutWires(scene, allWireFaults)
      await killStore(scene)
    },
  })
  expect(violations).toEqual([])
  expect(repeated).toBeGreaterThan(0)
}, 240_000)
