import {readFileSync} from 'node:fs'
import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {describe, expect, onTestFinished, test} from 'vitest'
import {seededRandom} from '../../src/drivers/simulated-machine.ts'
import {simulatedKind, type PowerEffect} from '../../src/drivers/simulated.ts'
import {instantFromMs, msOf} from '../../src/kernel/time.ts'
import {calm, faultOf} from '../contract/driver-contract.ts'

const epochMs = 1_800_000_000_000

/** A fleet under a clock that the test moves. A second program sees other monotonic times, as after a restart. */
function fleet(options: {statePath?: string; seed?: number; monotonicFromMs?: number; startMs?: number} = {}) {
  let nowMs = options.startMs ?? 0
  const effects: PowerEffect[] = []
  const clock = {
    now: () => instantFromMs(epochMs + nowMs),
    monotonicMs: () => (options.monotonicFromMs ?? 0) + nowMs,
  }
  const kind = simulatedKind({
    clock,
    random: seededRandom(options.seed ?? 7),
    onEffect: effect => effects.push(effect),
    ...(options.statePath === undefined ? {} : {statePath: options.statePath}),
  })
  return {kind, effects, passSeconds: (seconds: number) => (nowMs += seconds * 1000)}
}

const on = (ready: boolean) => ({power: 'on', ready})

describe('time', () => {
  test('boots and stops in the configured seconds, to the millisecond', async () => {
    const {kind, passSeconds} = fleet()
    const machine = kind.open('m', {bootSeconds: 10, stopSeconds: 4})
    await machine.start(calm)
    passSeconds(9.999)
    expect(await machine.observe(calm)).toEqual(on(false))
    passSeconds(0.001)
    expect(await machine.observe(calm)).toEqual(on(true))
    await machine.stop(calm)
    passSeconds(3.999)
    expect(kind.truth('m')?.phase).toBe('stopping')
    passSeconds(0.001)
    expect(await machine.observe(calm)).toEqual({power: 'off'})
  })

  test('needs nobody to look while it happens: a year later the effects carry the times they had', async () => {
    const {kind, effects, passSeconds} = fleet()
    const machine = kind.open('m', {bootSeconds: 10, stopSeconds: 4})
    await machine.start(calm)
    passSeconds(100)
    await machine.stop(calm)
    passSeconds(365 * 86_400)
    expect(await machine.observe(calm)).toEqual({power: 'off'})
    expect(effects.map(({effect, at}) => [effect, msOf(at) - epochMs])).toEqual([
      ['started', 0],
      ['stopped', 104_000],
    ])
  })

  test('a start sent while the guest shuts down is accepted and has no effect', async () => {
    const {kind, passSeconds} = fleet()
    const machine = kind.open('m', {bootSeconds: 1, stopSeconds: 4})
    await machine.start(calm)
    passSeconds(2)
    await machine.stop(calm)
    await machine.start(calm)
    passSeconds(4)
    expect(kind.truth('m')).toEqual({phase: 'off', starts: 1})
  })
})

describe('failures', () => {
  const failing = async (failureRates: Record<string, number>, extra: Record<string, unknown> = {}) => {
    const {kind, effects, passSeconds} = fleet()
    const machine = kind.open('m', {bootSeconds: 2, stopSeconds: 1, failureRates, ...extra})
    return {kind, machine, effects, passSeconds}
  }

  test('startLost: accepted, and nothing happens', async () => {
    const {kind, machine} = await failing({startLost: 1})
    await machine.start(calm)
    expect(kind.truth('m')).toEqual({phase: 'off', starts: 0})
  })

  test('startRefused: transient; rateLimited: with the time to wait', async () => {
    const refused = await failing({startRefused: 1})
    expect(await faultOf(() => refused.machine.start(calm))).toBe('transient')
    const limited = await failing({rateLimited: 1})
    await expect(limited.machine.start(calm)).rejects.toMatchObject({class: 'rateLimited', retryAfterMs: 5000})
    expect(limited.kind.truth('m')?.phase).toBe('off')
  })

  test('stopLostInBoot: lost before the guest is ready, heard afterwards', async () => {
    const {kind, machine, passSeconds} = await failing({stopLostInBoot: 1})
    await machine.start(calm)
    await machine.stop(calm)
    passSeconds(5)
    expect(kind.truth('m')?.phase).toBe('ready')
    await machine.stop(calm)
    passSeconds(1)
    expect(kind.truth('m')?.phase).toBe('off')
  })

  test('hangAtBoot: on for ever, never ready, and a kill ends it', async () => {
    const {machine, passSeconds} = await failing({hangAtBoot: 1})
    await machine.start(calm)
    passSeconds(1_000_000)
    expect(await machine.observe(calm)).toEqual(on(false))
    await machine.kill(calm)
    expect(await machine.observe(calm)).toEqual({power: 'off'})
  })

  test('ignoresStop: stays on through every stop, and a kill ends it', async () => {
    const {machine, passSeconds} = await failing({ignoresStop: 1})
    await machine.start(calm)
    passSeconds(5)
    for (const _ of [1, 2, 3]) await machine.stop(calm)
    passSeconds(1000)
    expect(await machine.observe(calm)).toEqual(on(true))
    await machine.kill(calm)
    expect(await machine.observe(calm)).toEqual({power: 'off'})
  })

  test('crash: off within the hour though nobody asked', async () => {
    const {machine, effects, passSeconds} = await failing({crash: 1})
    await machine.start(calm)
    passSeconds(3600)
    expect(await machine.observe(calm)).toEqual({power: 'off'})
    expect(effects.map(({effect}) => effect)).toEqual(['started', 'crashed'])
  })

  test('unreachable: nobody can tell for the length of the outage, and the machine runs on', async () => {
    const {kind, passSeconds} = fleet()
    const well = kind.open('m', {bootSeconds: 0})
    await well.start(calm)
    const cutOff = kind.open('m', {outageSeconds: 20, failureRates: {unreachable: 1}})
    expect(await cutOff.observe(calm)).toMatchObject({power: 'unreachable'})
    expect(await faultOf(() => well.kill(calm))).toBe('transient')
    passSeconds(19.999)
    expect(await well.observe(calm)).toMatchObject({power: 'unreachable'})
    expect(kind.truth('m')?.phase).toBe('ready')
    passSeconds(0.001)
    expect(await well.observe(calm)).toEqual(on(true))
  })
})

describe('chance', () => {
  const rates = {startLost: 0.3, startRefused: 0.2, stopLostInBoot: 0.5, hangAtBoot: 0.2, crash: 0.3, unreachable: 0.1}
  const history = async (seed: number) => {
    const {kind, effects, passSeconds} = fleet({seed})
    const machines = ['a', 'b', 'c'].map(id => kind.open(id, {failureRates: rates}))
    for (let step = 0; step < 200; step += 1) {
      for (const [index, machine] of machines.entries()) {
        const op = (['start', 'stop', 'kill'] as const)[(step + index) % 3] ?? 'start'
        await faultOf(() => machine[op](calm))
      }
      passSeconds(3)
    }
    return JSON.stringify(effects)
  }

  test('the same seed gives the same history, another seed another', async () => {
    const first = await history(1)
    expect(first.length).toBeGreaterThan(1000)
    expect(await history(1)).toBe(first)
    expect(await history(2)).not.toBe(first)
  })

  test('machines with one configured seed still have luck of their own', async () => {
    const {kind} = fleet()
    const config = {seed: 5, failureRates: {startLost: 0.5}}
    const started = await Promise.all(
      Array.from({length: 40}, async (_, index) => {
        await kind.open(`m${index}`, config).start(calm)
        return kind.truth(`m${index}`)?.starts
      }),
    )
    expect(new Set(started)).toEqual(new Set([0, 1]))
  })
})

describe('restart of the program', () => {
  const stateFolder = async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hourhand-simulated-'))
    onTestFinished(() => rm(folder, {recursive: true}))
    return join(folder, 'fleet.json')
  }

  test('without a state file everything is off afterwards', async () => {
    await fleet().kind.open('m', {}).start(calm)
    expect(await fleet().kind.open('m', {}).observe(calm)).toEqual({power: 'off'})
  })

  test('with a state file a run goes on, and its boot and stop take the time they would have taken', async () => {
    const statePath = await stateFolder()
    const before = fleet({statePath})
    const config = {bootSeconds: 10, stopSeconds: 10}
    await before.kind.open('m', config).start(calm)
    const after = fleet({statePath, monotonicFromMs: -50_000, startMs: 9000})
    const machine = after.kind.open('m', config)
    expect(await machine.observe(calm)).toEqual(on(false))
    after.passSeconds(1)
    expect(await machine.observe(calm)).toEqual(on(true))
    await machine.stop(calm)
    const later = fleet({statePath, monotonicFromMs: 123, startMs: 20_000})
    expect(await later.kind.open('m', config).observe(calm)).toEqual({power: 'off'})
    expect(JSON.parse(await readFile(statePath, 'utf8'))).toEqual({version: 1, machines: []})
  })

  test('a start is on the disk when it is answered, also when hundreds are asked for at once', async () => {
    const statePath = await stateFolder()
    const {kind} = fleet({statePath})
    const names = Array.from({length: 300}, (_, index) => `m-${index}`)
    const seen = await Promise.all(
      names.map(async name => {
        await kind.open(name, {}).start(calm)
        return readFileSync(statePath, 'utf8').includes(`"${name}"`)
      }),
    )
    expect(seen.filter(isThere => !isThere)).toEqual([])
  })

  test('a state file that cannot be written makes the start fail', async () => {
    const {kind} = fleet({statePath: join(await stateFolder(), 'no-such-folder', 'machines.json')})
    await expect(kind.open('m', {}).start(calm)).rejects.toThrow('ENOENT')
  })

  test('a state file that is not ours stops the program rather than be overwritten', async () => {
    const statePath = await stateFolder()
    await writeFile(statePath, '{"version": 2}')
    expect(() => fleet({statePath})).toThrow()
    expect(await readFile(statePath, 'utf8')).toBe('{"version": 2}')
  })
})

test('refuses a configuration with rates, times or seeds out of range, and names each field', () => {
  const parsed = fleet().kind.parseConfig({bootSeconds: -1, failureRates: {crash: 1.1, boom: 0}, seed: 1.5})
  expect(parsed.ok ? [] : parsed.faults.map(({field}) => field).sort()).toEqual([
    'bootSeconds',
    'failureRates.boom',
    'failureRates.crash',
    'seed',
  ])
})
