import {expect, test} from 'vitest'
import {machine, type MachineCommand, type Sighting} from '../../src/fleet/decider.ts'
import type {MachineState} from '../../src/fleet/machine-state.ts'
import type {MachineEvent} from '../../src/fleet/events.ts'
import {fold} from '../../src/kernel/decider.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {plusMs} from '../../src/kernel/time.ts'
import {at, seeded} from '../support/given.ts'
import {timings} from './watched-machine.ts'

type Random = ReturnType<typeof seeded>

/** What is wrong with a machine, for as long as a scenario lasts. */
interface Temper {
  readonly start: 'works' | 'lost' | 'permanent' | 'transient'
  readonly boot: 'ready' | 'hangs' | 'dies' | 'readyThenDies'
  readonly stop: 'works' | 'ignored' | 'unsupported'
  readonly kill: 'works' | 'ignored'
}

/** A machine that does what it is told after a while, or not, as its temper is. */
function simulated(
  random: Random,
  temper: Temper,
): {
  tick(seconds: number): void
  order(op: 'start' | 'stop' | 'kill'): 'accepted' | 'permanent' | 'transient' | 'unsupported'
  flip(): void
  see(): Sighting
} {
  let on = false
  let onFor = 0
  let bootSeconds = 0
  let comesIn: number | null = null
  let goesIn: number | null = null
  const switchTo = (next: boolean): void => {
    on = next
    onFor = 0
    comesIn = null
    goesIn = null
    bootSeconds = 5 + random.below(60)
  }
  const isReady = (): boolean =>
    on && onFor >= bootSeconds && (temper.boot === 'ready' || temper.boot === 'readyThenDies')
  return {
    tick(seconds) {
      if (on) onFor += seconds
      if (comesIn !== null && !on && (comesIn -= seconds) <= 0) switchTo(true)
      if (goesIn !== null && on && (goesIn -= seconds) <= 0) switchTo(false)
      if (on && temper.boot === 'dies' && onFor >= bootSeconds) switchTo(false)
      if (on && temper.boot === 'readyThenDies' && onFor >= bootSeconds + 40) switchTo(false)
    },
    order(op) {
      if (op === 'start') {
        if (temper.start === 'permanent' || temper.start === 'transient') return temper.start
        if (temper.start === 'works' && !on) comesIn ??= random.below(20)
      } else if (op === 'stop') {
        if (temper.stop === 'unsupported') return 'unsupported'
        // While a guest boots it may not hear.
        if (temper.stop === 'works' && on && onFor > 3) goesIn ??= random.below(25)
      } else if (temper.kill === 'works' && on) goesIn = random.below(2)
      return 'accepted'
    },
    flip: () => switchTo(!on),
    see: () => (on ? {power: 'on', ready: isReady()} : {power: 'off'}),
  }
}

/** Plays the part of the power process: looks, records, orders; may be cut off between any two of these. */
function reconciler(
  random: Random,
  temper: Temper,
): {
  look(wanted: string | null, trouble: number): MachineEvent[]
  readonly state: () => NonNullable<MachineState>
  readonly real: ReturnType<typeof simulated>
} {
  const real = simulated(random, temper)
  let state: MachineState = null
  let now = at('00:00')
  let commands = 0
  const send = (command: MachineCommand): readonly MachineEvent[] => {
    const decision = machine.decide(command, state, {now})
    if (!decision.ok) throw new Error(decision.refusal.type)
    state = fold(machine, state, decision.events)
    return decision.events
  }
  const machineId = idOf<'Machine'>('m1')
  const driver = {kind: 'x', config: {}}
  send({type: 'RegisterMachine', registration: {machineId, name: 'M', poolId: idOf('p'), services: [], driver}})
  return {
    real,
    state: () => state ?? expect.unreachable(),
    look(wanted, trouble) {
      const seconds = 0.5 + random.next() * 9.5
      now = plusMs(now, Math.round(seconds * 1000))
      real.tick(seconds)
      const sighting: Sighting = random.chance(trouble / 4) ? {power: 'unreachable', reason: 'x'} : real.see()
      const desired = wanted === null ? null : {for: wanted}
      const powerCommandId = `p${++commands}`
      const events = send({
        type: 'LookAtMachine',
        sighting,
        desired,
        ahead: null,
        epoch: 1,
        powerCommandId,
        timings,
        ages: {},
      })
      const intent = events.find(event => event.type === 'PowerCommandIntended')
      if (intent === undefined || random.chance(trouble / 8)) return [...events]
      const fails = random.chance(trouble) ? random.pick(['rateLimited', 'auth', 'transient', 'conflict']) : null
      const outcome = fails ?? real.order(intent.data.op)
      if (random.chance(trouble / 8)) return [...events]
      const retryAt = plusMs(now, 1_000 + random.below(30_000))
      const failure = {powerCommandId, errorClass: outcome, message: 'x', retryAt}
      const settled =
        outcome === 'accepted'
          ? send({type: 'AcceptPowerCommand', powerCommandId})
          : send({type: 'FailPowerCommand', ...failure})
      return [...events, ...settled]
    },
  }
}

const settlesWithinLooks = 400

function expectSettled(run: ReturnType<typeof reconciler>, wanted: string | null): void {
  const state = run.state()
  if (state.quarantined) return
  const seen = run.real.see()
  if (wanted === null) expect(seen).toEqual({power: 'off'})
  else {
    expect(seen).toEqual({power: 'on', ready: true})
    expect(state).toMatchObject({phase: 'on', seen: 'on'})
  }
}

const seeds = Array.from({length: 12}, (_, index) => index + 1)

test.each(seeds)('every machine comes to what is wanted or to quarantine, in bounded steps (seed %d)', seed => {
  const random = seeded(seed)
  let quarantined = 0
  for (let scenario = 0; scenario < 120; scenario++) {
    const temper: Temper = {
      start: random.pick(['works', 'works', 'works', 'lost', 'permanent', 'transient']),
      boot: random.pick(['ready', 'ready', 'ready', 'hangs', 'dies', 'readyThenDies']),
      stop: random.pick(['works', 'works', 'ignored', 'unsupported']),
      kill: random.pick(['works', 'works', 'works', 'ignored']),
    }
    const run = reconciler(random, temper)
    let wanted: string | null = null
    for (let step = 0; step < 80; step++) {
      if (random.chance(0.05)) wanted = random.chance(0.5) ? null : `b${random.below(4)}`
      if (random.chance(0.02)) run.real.flip()
      run.look(wanted, 0.2)
    }
    // From here on nothing is wrong but the machine's own temper, and the wish stays.
    const events: MachineEvent[] = []
    for (let step = 0; step < settlesWithinLooks; step++) events.push(...run.look(wanted, 0))
    const starts = events.filter(event => event.type === 'PowerCommandIntended' && event.data.op === 'start').length
    const orders = events.filter(event => event.type === 'PowerCommandIntended').length
    expect(starts).toBeLessThanOrEqual(timings.attemptsMax)
    // At most seven stops and four kills before a machine is off or given up on, once and then once for each start.
    expect(orders).toBeLessThanOrEqual((timings.attemptsMax + 1) * 11 + starts)
    expectSettled(run, wanted)
    if (run.state().quarantined) quarantined++
    // A settled machine gives no more work; one in quarantine is only watched.
    for (let step = 0; step < 30; step++) {
      const more = run.look(wanted, 0)
      if (!run.state().quarantined) expect(more).toEqual([])
      else expect(more.every(({type}) => type === 'PowerObserved' || type === 'MachineReady')).toBe(true)
    }
  }
  expect(quarantined).toBeGreaterThan(10)
  expect(quarantined).toBeLessThan(110)
})
