import {z} from 'zod'
import type {Clock, Instant} from '../kernel/time.ts'
import {plusMs} from '../kernel/time.ts'
import {checkConsoleLine} from './console-line.ts'
import {parseWith, storedConfig} from './parse-config.ts'
import type {DriverKind, MachineDriver, Observation, Resources} from './port.ts'
import {DriverError} from './port.ts'
import type {Phase, Run} from './simulated-machine.ts'
import {beginRun, endOf, hashOf, phaseOf, seededRandom} from './simulated-machine.ts'
import {keepRuns, loadRuns, type RunKeeper} from './simulated-state.ts'

/**
 * Machines in memory: the development fleet, and the fleet of the deterministic simulation. Time comes from the given
 * clock alone and chance from the given source alone, so the same seed and the same calls give the same history.
 */
export function simulatedKind(world: SimulatedWorld): SimulatedKind {
  const machines = new Map<string, Machine>()
  if (world.statePath !== undefined) {
    for (const [id, run] of loadRuns(world.statePath, world.clock)) machines.set(id, newMachine(run))
  }
  const fleet: Fleet = {world, machines, ...keepRuns(world, () => runsOf(machines))}
  return {
    kind: 'simulated',
    parseConfig: input => parseWith(configSchema, input),
    open: (machineId, config) => openDriver(fleet, machineId, storedConfig(configSchema, 'simulated', config)),
    truth: machineId => truthOf(fleet, machineId),
  }
}

export interface SimulatedWorld {
  readonly clock: Clock
  /** Uniform in [0, 1). Drawn once per machine that has no `seed` of its own, at its first `open`. */
  readonly random: () => number
  /** A JSON file that keeps who is on across restarts of the program. Without it every machine is off after a restart. */
  readonly statePath?: string
  /** Told of every real change of power, also of those nobody asked for; `at` is when it happened, not when noticed. */
  readonly onEffect?: (effect: PowerEffect) => void
}

export interface PowerEffect {
  readonly machineId: string
  readonly effect: 'started' | 'stopped' | 'killed' | 'crashed' | 'rebooted'
  readonly at: Instant
}

export interface SimulatedKind extends DriverKind {
  /** What the machine really does now, past every lie of its driver; null when no such machine was ever opened. */
  truth(machineId: string): MachineTruth | null
}

export interface MachineTruth {
  readonly phase: Phase
  /** Runs begun in this program's life. */
  readonly starts: number
}

const rate = z.number().min(0).max(1).default(0)
const seconds = z.number().min(0).max(86_400)

const configSchema = z.strictObject({
  bootSeconds: seconds.default(5),
  stopSeconds: seconds.default(2),
  /** How long a machine stays out of reach once it is. */
  outageSeconds: seconds.default(30),
  failureRates: z
    .strictObject({
      startLost: rate,
      startRefused: rate,
      rateLimited: rate,
      stopLostInBoot: rate,
      hangAtBoot: rate,
      ignoresStop: rate,
      crash: rate,
      unreachable: rate,
    })
    .prefault({}),
  seed: z.int().min(0).max(0xffff_ffff).optional(),
})

type SimulatedConfig = z.infer<typeof configSchema>

interface Machine {
  run: Run | null
  draw: (() => number) | null
  outageUntilMs: number
  starts: number
  /** How much of the run was already told to the console. */
  told: 'nothing' | 'boot' | 'ready'
  readonly lines: string[]
}

interface Fleet extends RunKeeper {
  readonly world: SimulatedWorld
  readonly machines: Map<string, Machine>
}

const linesKeptMax = 1000

function openDriver(fleet: Fleet, machineId: string, config: SimulatedConfig): MachineDriver {
  const {world} = fleet
  const machine = fleet.machines.get(machineId) ?? newMachine(null)
  fleet.machines.set(machineId, machine)
  const seed = config.seed ?? Math.floor(world.random() * 4_294_967_296)
  machine.draw ??= seededRandom(seed ^ hashOf(machineId))
  const draw = machine.draw
  const fails = (kind: keyof SimulatedConfig['failureRates']) => draw() < config.failureRates[kind]

  /** Brings the machine to the present and tells its phase; throws when it is out of reach. */
  const reach = (signal: AbortSignal): Phase => {
    if (signal.aborted) throw new DriverError('transient', 'the call was given up')
    const nowMs = world.clock.monotonicMs()
    settle(fleet, machineId, machine)
    if (nowMs >= machine.outageUntilMs && fails('unreachable')) {
      machine.outageUntilMs = nowMs + config.outageSeconds * 1000
    }
    if (nowMs < machine.outageUntilMs) throw new DriverError('transient', 'the simulated machine does not answer')
    return phaseOf(machine.run, nowMs)
  }
  const reachOn = (signal: AbortSignal): Run => {
    reach(signal)
    if (machine.run === null) throw new DriverError('conflict', 'the machine is off')
    return machine.run
  }
  const limitRate = () => {
    if (fails('rateLimited')) throw new DriverError('rateLimited', 'too many calls to the simulated provider', 5000)
  }
  const begin = (effect: PowerEffect['effect']) => {
    const plan = {bootMs: config.bootSeconds * 1000, rates: config.failureRates}
    machine.run = beginRun(world.clock.monotonicMs(), plan, draw)
    machine.told = 'nothing'
    machine.starts += 1
    fleet.save()
    world.onEffect?.({machineId, effect, at: world.clock.now()})
    settle(fleet, machineId, machine)
  }
  const askToStop = (run: Run) => {
    if (run.ignoresStop || run.stopsAtMs !== null) return
    machine.run = {...run, stopsAtMs: world.clock.monotonicMs() + config.stopSeconds * 1000}
    tell(machine, 'STOPPING')
    fleet.save()
    settle(fleet, machineId, machine)
  }

  /** What changes power answers with this. */
  const told = async (): Promise<void> => {
    const saving = fleet.saving()
    if (saving !== null) await saving
  }

  return {
    capabilities: new Set(['reboot', 'resources', 'console', 'logs', 'readyProbe'] as const),
    async start(signal) {
      const phase = reach(signal)
      limitRate()
      if (fails('startRefused')) throw new DriverError('transient', 'the simulated provider refused the start')
      // As with real machines, a start sent while the guest still shuts down is accepted and has no effect.
      if (phase !== 'off' || fails('startLost')) return
      begin('started')
      await told()
    },
    async stop(signal) {
      const phase = reach(signal)
      limitRate()
      if (machine.run === null || (phase === 'booting' && fails('stopLostInBoot'))) return
      askToStop(machine.run)
      await told()
    },
    async kill(signal) {
      if (reach(signal) === 'off') return
      machine.run = null
      fleet.save()
      world.onEffect?.({machineId, effect: 'killed', at: world.clock.now()})
      await told()
    },
    async reboot(signal) {
      reachOn(signal)
      begin('rebooted')
      await told()
    },
    async observe(signal): Promise<Observation> {
      try {
        const phase = reach(signal)
        await told()
        return phase === 'off' ? {power: 'off'} : {power: 'on', ready: phase === 'ready'}
      } catch (error) {
        if (error instanceof DriverError) return {power: 'unreachable', reason: error.message}
        throw error
      }
    },
    async resources(signal): Promise<Resources> {
      const run = reachOn(signal)
      return simulatedResources((world.clock.monotonicMs() - run.startedAtMs) / 1000)
    },
    async sendConsole(line, signal) {
      const run = reachOn(signal)
      checkConsoleLine(line)
      if (phaseOf(run, world.clock.monotonicMs()) !== 'ready') return
      if (line === 'stop') askToStop(run)
      else tell(machine, answerTo(line))
      await told()
    },
    async logs(lines, signal) {
      reach(signal)
      return lines < 1 ? [] : machine.lines.slice(-lines)
    },
    async close() {
      // Nothing is held: the machine lives in the fleet, not in its driver.
    },
  }
}

function answerTo(line: string): string {
  if (line === 'list') return 'There are 0 of a max of 20 players online'
  return line.startsWith('say ') ? `[Server] ${line.slice(4)}` : `Unknown command: ${line}`
}

/** Plays out what happened since the last look: console lines, then the end of the run if it has come. */
function settle(fleet: Fleet, machineId: string, machine: Machine): void {
  const {run} = machine
  if (run === null) return
  const {clock, onEffect} = fleet.world
  const nowMs = clock.monotonicMs()
  const end = endOf(run)
  const livedToMs = Math.min(nowMs, end?.atMs ?? Infinity)
  if (machine.told === 'nothing') {
    tell(machine, 'BOOT')
    machine.told = 'boot'
  }
  if (machine.told === 'boot' && run.readyAtMs !== null && run.readyAtMs <= livedToMs) {
    tell(machine, 'READY')
    machine.told = 'ready'
  }
  if (end === null || end.atMs > nowMs) return
  machine.run = null
  fleet.save()
  onEffect?.({machineId, effect: end.how, at: plusMs(clock.now(), end.atMs - nowMs)})
}

function tell(machine: Machine, line: string): void {
  machine.lines.push(line)
  if (machine.lines.length > linesKeptMax) machine.lines.splice(0, machine.lines.length - linesKeptMax)
}

function truthOf(fleet: Fleet, machineId: string): MachineTruth | null {
  const machine = fleet.machines.get(machineId)
  if (machine === undefined) return null
  settle(fleet, machineId, machine)
  return {phase: phaseOf(machine.run, fleet.world.clock.monotonicMs()), starts: machine.starts}
}

function newMachine(run: Run | null): Machine {
  return {run, draw: null, outageUntilMs: -Infinity, starts: 0, told: 'nothing', lines: []}
}

function runsOf(machines: ReadonlyMap<string, Machine>): readonly (readonly [string, Run])[] {
  return [...machines].flatMap(([id, {run}]): [string, Run][] => (run === null ? [] : [[id, run]]))
}

/** Made-up but steady figures: memory fills over the first minute, the processor calms down after boot. */
function simulatedResources(uptimeSeconds: number): Resources {
  const mebibyte = 1024 * 1024
  return {
    memoryBytes: Math.round(256 + 512 * Math.min(1, uptimeSeconds / 60)) * mebibyte,
    memoryLimitBytes: 1024 * mebibyte,
    cpuPercent: uptimeSeconds < 60 ? 90 : 12,
    diskBytes: 2048 * mebibyte,
    networkReceivedBytes: Math.round(uptimeSeconds * 1200),
    networkSentBytes: Math.round(uptimeSeconds * 4800),
    uptimeSeconds: Math.floor(uptimeSeconds),
  }
}
