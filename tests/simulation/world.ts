import {simulatedKind, type PowerEffect} from '../../src/drivers/simulated.ts'
import type {DriverKind} from '../../src/drivers/port.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {parseInstant} from '../../src/kernel/time.ts'
import {createChecker, type Checker} from './checker.ts'
import {createCrew, type Crew} from './crew.ts'
import {diceOf, mixed} from './dice.ts'
import {createDisks} from './disks.ts'
import {faultsOf, type Faults} from './faults.ts'
import {startNode, timings} from './node.ts'
import {createPeople} from './people.ts'
import {plotOf, type Happenings} from './plot.ts'
import {createRecord} from './record.ts'
import {rememberingRegistry} from './remembering-registry.ts'
import type {Report} from '../../src/verify/rule.ts'
import {playScript} from './script.ts'
import {simulatedStore, type SimulatedStore} from './store.ts'
import {createTroubles} from './troubles.ts'
import {virtualTime, type VirtualTime} from './virtual-time.ts'
import {createWatch} from './watch.ts'

const machineIds = ['m-0', 'm-1', 'm-2', 'm-3', 'm-4']

/** Everything that a history happens in. Of what happens by chance `only` this; null: all of it. */
export function createWorld(seed: number, only: Happenings | null, plant: (store: EventStore) => EventStore) {
  const start = parseInstant('2026-11-21T08:00:00.000Z')
  if (start === null) throw new Error('no such time')
  const time = virtualTime(start)
  const seedOf = (part: number): number => mixed(seed, part)
  const plot = plotOf(only)
  const faults = faultsOf(seedOf(1), plot)
  const record = createRecord(time, () => faults.count('takeOver'))
  const {report} = record
  let isByHand = false
  const luck = diceOf(seedOf(2))
  const kind = simulatedKind({
    clock: time.clock,
    random: () => luck.next(),
    onEffect(effect: PowerEffect) {
      record.effect(effect)
      checker.effect(effect, isByHand)
    },
  })
  const truth = (machineId: string) => kind.truth(machineId)?.phase ?? 'off'
  const checker = checkerOf(time, truth, () => crew, report)
  const store = simulatedStore({
    time,
    dice: diceOf(seedOf(3)),
    onEvent(event, text, appendNumber) {
      record.event(event, text)
      checker.see(event, appendNumber)
      watch.soon()
    },
  })
  const onCalm = (): void => watch.soon()
  const {crew, close} = crewOf({time, seed: seedOf(4), faults, kind, store, checker, report, plant, onCalm})
  const watch = createWatch(time, () => checker.look(time.nowMs(), crew.calmSinceMs()))
  time.onJump.add(() => watch.soon())
  crew.begin()
  const nodeFor = (share: number) => crew.living()[Math.floor(share * crew.living().length)] ?? null
  const witness = {report, account: (userId: string) => checker.account(userId, time.nowMs())}
  const people = createPeople({seed: seedOf(5), time, plot, nodeFor, witness})
  const byHand = (work: () => void): void => {
    isByHand = true
    work()
    isByHand = false
  }
  const trouble = createTroubles({seed: seedOf(6), time, plot, faults, crew, store, kind, machineIds, byHand})
  playScript(time, seedOf(7), {enter: (cast, pulse) => crew.enter(cast, pulse), act: () => people.act(), trouble})
  return {time, store, crew, faults, plot, record, memory: people.memory, close}
}

function checkerOf(
  time: VirtualTime,
  truth: Parameters<typeof createChecker>[0]['truth'],
  crewNow: () => Crew,
  report: Report,
): Checker {
  const world = {
    machineIds,
    timings,
    truth,
    noticeMs: () => crewNow().pulse().onMs,
    isUnsettled: () => crewNow().isUnsettled(),
    hasClockJumped: () => crewNow().hasClockJumped(),
    elapsedMs: () => time.elapsedMs(),
    nowMs: () => time.nowMs(),
    leaseTermMs: () => (crewNow().cast() === 'rivals' ? crewNow().pulse().leaseTermMs : 0),
  }
  return createChecker(world, report)
}

interface CrewSetting {
  readonly time: VirtualTime
  readonly seed: number
  readonly faults: Faults
  readonly kind: DriverKind
  readonly store: SimulatedStore
  readonly checker: Checker
  readonly report: Report
  readonly plant: (store: EventStore) => EventStore
  readonly onCalm: () => void
}

function crewOf(setting: CrewSetting): {readonly crew: Crew; readonly close: () => void} {
  const {time, faults, kind, store, checker, report, plant, onCalm} = setting
  const common = {time, dice: diceOf(setting.seed), faults, kind, registry: rememberingRegistry()}
  const disks = createDisks()
  const crew = createCrew({
    time,
    count: counted => faults.count(counted),
    onCalm,
    begin(name, {disk, ...mode}) {
      const connect: Parameters<typeof startNode>[0]['connect'] = life =>
        plant(store.connect(life, faults, what => crew.befall(name, what)))
      const onSwitch = (): void => {
        if (checker.leaseHolder() !== name) report(`${name} switches a machine without the lease`)
        if (faults.strikes('stallAtSwitch')) crew.befall(name, 'stall')
      }
      return startNode({name, connect, readModelsFile: disks.fileOf(disk), onSwitch, ...common, ...mode})
    },
  })
  const close = (): void => {
    crew.end()
    disks.close()
  }
  return {crew, close}
}
