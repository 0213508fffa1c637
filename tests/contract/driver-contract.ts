import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import type {DriverErrorClass, DriverKind, MachineDriver} from '../../src/drivers/port.ts'
import {DriverError} from '../../src/drivers/port.ts'

/** One kind of driver with real machines behind it, and a way to see them that does not go through the driver. */
export interface DriverRig {
  readonly kind: DriverKind
  readonly config: Readonly<Record<string, unknown>>
  /** Never used before in this rig. */
  newMachineId(): string
  /** Evidence from outside the driver: how many machines run under this id. */
  runningCount(machineId: string): Promise<number>
  /** Evidence from outside the driver: how often the machine has become ready since it was last powered on. */
  readyCount(machineId: string): Promise<number>
  /** Lets a little time pass: moves a virtual clock, or waits until the next look at a real machine makes sense. */
  pass(): Promise<void>
  /** Looks before a condition counts as not met. */
  readonly looksMax: number
  /** What a person would want to see when a condition was not met. */
  testimony(): Promise<string>
  close(): Promise<void>
}

export const calm = new AbortController().signal

/** What every driver must keep. `setUp` runs once; the tests run one after another. */
export function driverContract(name: string, setUp: () => Promise<DriverRig>): void {
  describe(`driver contract: ${name}`, () => {
    let rig: DriverRig
    beforeAll(async () => {
      rig = await setUp()
    })
    afterAll(async () => {
      await rig.close()
    })

    const fresh = () => {
      const machineId = rig.newMachineId()
      return {machineId, driver: rig.kind.open(machineId, rig.config)}
    }
    const freshAndReady = async () => {
      const machine = fresh()
      await machine.driver.start(calm)
      await untilReady(rig, machine.driver)
      return machine
    }

    test('keeps a configuration it has parsed, and names the field of one it has not', () => {
      const parsed = rig.kind.parseConfig(rig.config)
      expect(parsed).toMatchObject({ok: true})
      if (!parsed.ok) return
      expect(rig.kind.parseConfig(JSON.parse(JSON.stringify(parsed.config)))).toEqual(parsed)
      const wrong = rig.kind.parseConfig({...rig.config, surprise: 1})
      expect(wrong).toEqual({ok: false, faults: [{field: 'surprise', message: 'unknown setting'}]})
      expect(rig.kind.parseConfig(null)).toMatchObject({ok: false})
    })

    test('a machine that is off: observed as off, stop and kill succeed, all else is a conflict', async () => {
      const {machineId, driver} = fresh()
      expect(await driver.observe(calm)).toEqual({power: 'off'})
      await driver.stop(calm)
      await driver.kill(calm)
      for (const [capability, call] of [
        ['reboot', () => driver.reboot(calm)],
        ['resources', () => driver.resources(calm)],
        ['console', () => driver.sendConsole('list', calm)],
      ] as const) {
        expect(await faultOf(call)).toBe(driver.capabilities.has(capability) ? 'conflict' : 'unsupported')
      }
      expect(await rig.runningCount(machineId)).toBe(0)
      await driver.close()
    })

    test('start, ready, stop: a start and a stop asked for twice are one start and one stop', async () => {
      const {machineId, driver} = fresh()
      await driver.start(calm)
      await driver.start(calm)
      expect(await rig.runningCount(machineId)).toBe(1)
      await untilReady(rig, driver)
      expect(await rig.readyCount(machineId)).toBe(1)
      await driver.start(calm)
      expect(await rig.readyCount(machineId)).toBe(1)
      await driver.stop(calm)
      await driver.stop(calm)
      await untilOff(rig, driver)
      expect(await rig.runningCount(machineId)).toBe(0)
      await driver.stop(calm)
      await driver.close()
    })

    test('a machine runs again after a stop, and is not ready before it has booted again', async () => {
      const {machineId, driver} = await freshAndReady()
      await driver.stop(calm)
      await untilOff(rig, driver)
      await driver.start(calm)
      expect(await driver.observe(calm)).toEqual({power: 'on', ready: false})
      await untilReady(rig, driver)
      expect(await rig.runningCount(machineId)).toBe(1)
      await driver.kill(calm)
    })

    test('kill takes the power away at once, booting or ready, and twice is no error', async () => {
      const {machineId, driver} = fresh()
      await driver.start(calm)
      await driver.kill(calm)
      expect(await rig.runningCount(machineId)).toBe(0)
      await driver.start(calm)
      await untilReady(rig, driver)
      await driver.kill(calm)
      expect(await rig.runningCount(machineId)).toBe(0)
      expect(await driver.observe(calm)).toEqual({power: 'off'})
      await driver.kill(calm)
    })

    test('concurrent starts, also through several drivers, give one machine', async () => {
      const {machineId, driver} = fresh()
      const others = [1, 2, 3].map(() => rig.kind.open(machineId, rig.config))
      const outcomes = await Promise.allSettled([driver, ...others].map(each => each.start(calm)))
      expect(outcomes.map(({status}) => status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'fulfilled'])
      expect(await rig.runningCount(machineId)).toBe(1)
      await untilReady(rig, driver)
      expect(await rig.readyCount(machineId)).toBe(1)
      await driver.kill(calm)
      expect(await rig.runningCount(machineId)).toBe(0)
    })

    test('a new driver finds the running machine again and can switch it off', async () => {
      const {machineId, driver} = await freshAndReady()
      await driver.close()
      expect(await rig.runningCount(machineId)).toBe(1)
      const second = rig.kind.open(machineId, rig.config)
      expect(await second.observe(calm)).toEqual({power: 'on', ready: true})
      await second.start(calm)
      expect(await rig.runningCount(machineId)).toBe(1)
      await second.stop(calm)
      await untilOff(rig, second)
      expect(await rig.runningCount(machineId)).toBe(0)
    })

    test('reboot: not ready at first, ready again later, without going off', async () => {
      const {machineId, driver} = await freshAndReady()
      if (!driver.capabilities.has('reboot')) {
        expect(await faultOf(() => driver.reboot(calm))).toBe('unsupported')
        return
      }
      await driver.reboot(calm)
      expect(await driver.observe(calm)).toEqual({power: 'on', ready: false})
      expect(await rig.runningCount(machineId)).toBe(1)
      await untilReady(rig, driver)
      expect(await rig.readyCount(machineId)).toBe(2)
      await driver.kill(calm)
    })

    test('resources of a running machine are plausible', async () => {
      const {driver} = await freshAndReady()
      if (!driver.capabilities.has('resources')) {
        expect(await faultOf(() => driver.resources(calm))).toBe('unsupported')
        return
      }
      const use = await driver.resources(calm)
      for (const figure of Object.values(use)) expect(figure === null || figure >= 0).toBe(true)
      if (use.memoryBytes !== null) expect(use.memoryBytes).toBeGreaterThan(0)
      await driver.kill(calm)
    })

    test('the console takes a line, the logs show the answer, oldest first and no more than asked for', async () => {
      const {driver} = await freshAndReady()
      if (!driver.capabilities.has('console') || !driver.capabilities.has('logs')) {
        expect(await faultOf(() => driver.sendConsole('list', calm))).toBe('unsupported')
        return
      }
      await driver.sendConsole('say one two', calm)
      await driver.sendConsole('say three; echo four', calm)
      const last = await until(rig, async () => {
        const lines = await driver.logs(2, calm)
        return lines.at(-1) === '[Server] three; echo four' ? lines : null
      })
      expect(last).toEqual(['[Server] one two', '[Server] three; echo four'])
      expect(await driver.logs(0, calm)).toEqual([])
      expect((await driver.logs(1_000_000, calm)).length).toBeLessThanOrEqual(1000)
      await driver.kill(calm)
      expect((await driver.logs(1, calm)).length).toBe(1)
    })

    test('a console line cannot carry a second one', async () => {
      const {driver} = await freshAndReady()
      if (!driver.capabilities.has('console')) return
      for (const line of ['say a\nsay b', 'say a\rsay b', 'say \u0003', 'say \u0000', '', 'x'.repeat(1001)]) {
        expect(await faultOf(() => driver.sendConsole(line, calm))).toBe('permanent')
      }
      expect((await driver.logs(1000, calm)).filter(line => line.startsWith('[Server]'))).toEqual([])
      await driver.kill(calm)
    })

    test('a call that was given up rejects as transient', async () => {
      const {driver} = fresh()
      const given = AbortSignal.abort()
      expect(await faultOf(() => driver.start(given))).toBe('transient')
      expect(await driver.observe(calm)).toEqual({power: 'off'})
    })
  })
}

/** The class of the DriverError a call rejects with; null when it succeeds; any other error is thrown on. */
export async function faultOf(call: () => Promise<unknown>): Promise<DriverErrorClass | null> {
  try {
    await call()
    return null
  } catch (error) {
    if (error instanceof DriverError) return error.class
    throw error
  }
}

type Patience = Pick<DriverRig, 'pass' | 'looksMax' | 'testimony'>

/** Looks until there is something to see. Throws after `looksMax` looks, and says what is to be seen instead. */
export async function until<T>(rig: Patience, look: () => Promise<T | null>): Promise<T> {
  for (let looks = 0; looks < rig.looksMax; looks += 1) {
    const seen = await look()
    if (seen !== null) return seen
    await rig.pass()
  }
  throw new Error(`not seen in ${rig.looksMax} looks: ${await rig.testimony()}`)
}

export async function untilReady(rig: Patience, driver: MachineDriver): Promise<void> {
  await until(rig, async () => {
    const seen = await driver.observe(calm)
    return seen.power === 'on' && seen.ready ? seen : null
  })
}

export async function untilOff(rig: Patience, driver: MachineDriver): Promise<void> {
  await until(rig, async () => {
    const seen = await driver.observe(calm)
    return seen.power === 'off' ? seen : null
  })
}
