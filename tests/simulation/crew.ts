import type {CountedKind} from './faults.ts'
import type {Node, Pulse} from './node.ts'
import {calmPulse, type Cast} from './script.ts'
import type {VirtualTime} from './virtual-time.ts'

/** The programs that run, who of them acts, and whether anything is in their way. */
export interface Crew {
  /** The first one starts, alone. */
  begin(): void
  /** Everybody stops where they are. */
  end(): void
  /** Everybody is replaced by this cast. */
  enter(cast: Cast, pulse: Pulse): void
  /** Nodes that live, frozen ones too. */
  living(): readonly Node[]
  /** The one whose read models are the last word; null while nobody is there. */
  anyone(): Node | null
  /** Answers whether there was one to crash; so `freeze`. */
  crash(which: number, restartMs: number, withDisk: boolean): boolean
  freeze(which: number, ms: number): boolean
  /** In the middle of something: a crash with a start soon after, or, with a rival there, a standstill beyond the lease. */
  befall(name: string, what: 'crash' | 'stall'): void
  cast(): Cast
  pulse(): Pulse
  /** Something keeps the engine from its work for so long. */
  disturb(ms: number): void
  /** The wall clock was set. */
  unsettle(): void
  /** By the wall clock; Infinity: something is in the way. */
  calmSinceMs(): number
  isUnsettled(): boolean
  /** Whether the wall clock was set a moment ago. */
  hasClockJumped(): boolean
  readonly alarms: readonly string[]
}

export interface CrewParts {
  readonly time: VirtualTime
  readonly begin: (name: string, mode: {readonly exclusive: boolean; readonly pulse: Pulse; disk: string}) => Node
  readonly count: (kind: CountedKind) => void
  /** Told when calm has come. */
  readonly onCalm: () => void
}

const names = ['first', 'second'] as const
type Name = (typeof names)[number]
/** How long a rival waits before it believes the other gone, beside the lease's term. */
const takeOverMs = 10_000
const unsettledMs = 10 * 60_000

export function createCrew(parts: CrewParts): Crew {
  const {time} = parts
  const alarms: string[] = []
  const nodes = new Map<Name, Node>()
  const disks = new Map<Name, number>()
  let [cast, pulse]: [Cast, Pulse] = ['alone', calmPulse]
  let scene = 0
  let calmMs = 0
  let calmFromElapsedMs = 0
  let lastUnsettledMs = -Infinity
  let lastJumpMs = -Infinity

  const begin = (name: Name): void => {
    const exclusive = cast !== 'rivals'
    const node = parts.begin(name, {exclusive, pulse, disk: `${name}-${disks.get(name) ?? 0}`})
    nodes.set(name, node)
    if (name === 'first' || cast === 'rivals') node.act()
  }
  const end = (name: Name): void => {
    const node = nodes.get(name)
    if (node === undefined) return
    alarms.push(...node.alarms)
    node.crash()
    nodes.delete(name)
  }
  const disturb = (ms: number): void => {
    calmFromElapsedMs = Math.max(calmFromElapsedMs, time.elapsedMs() + ms)
    lastUnsettledMs = Math.max(lastUnsettledMs, calmFromElapsedMs)
    time.after(ms, () => {
      if (time.elapsedMs() < calmFromElapsedMs) return
      calmMs = time.nowMs()
      parts.onCalm()
    })
  }
  const succession = (): number => (cast === 'rivals' ? 1.2 * pulse.leaseTermMs + takeOverMs : 0)

  /** What it leaves undone, the other one finishes in good time. */
  const isOnlyHelping = (name: Name): boolean => cast === 'helped' && name === 'second'

  const crash = (name: Name, restartMs: number, withDisk: boolean): void => {
    end(name)
    if (withDisk) disks.set(name, (disks.get(name) ?? 0) + 1)
    const sceneThen = scene
    const again = (): void => {
      if (scene === sceneThen && !nodes.has(name)) begin(name)
    }
    if (restartMs === 0) again()
    else time.after(restartMs, again)
    if (isOnlyHelping(name)) return
    // With a rival there that does not stand still, the work goes on without it.
    const isHelped = cast === 'rivals' && [...nodes.values()].some(other => other.life.held === null)
    disturb(isHelped ? Math.min(succession(), restartMs + succession()) : restartMs + succession())
  }
  const freeze = (name: Name, ms: number): void => {
    const node = nodes.get(name)
    if (node === undefined) return
    node.freeze(ms)
    if (isOnlyHelping(name)) return
    const canBeReplaced = cast === 'rivals' && [...nodes.values()].some(other => other.life.held === null)
    disturb(canBeReplaced ? Math.min(succession(), ms) : ms + succession())
  }

  return {
    alarms,
    begin: () => begin('first'),
    end() {
      for (const name of names) end(name)
    },
    cast: () => cast,
    pulse: () => pulse,
    living: () => [...nodes.values()],
    anyone: () => nodes.get('first') ?? nodes.get('second') ?? null,
    enter(nextCast, nextPulse) {
      scene++
      for (const name of names) end(name)
      cast = nextCast
      pulse = nextPulse
      begin('first')
      if (cast !== 'alone') begin('second')
      disturb(1_000)
    },
    crash(which, restartMs, withDisk) {
      const name = [...nodes.keys()][which % Math.max(1, nodes.size)]
      if (name !== undefined) crash(name, restartMs, withDisk)
      return name !== undefined
    },
    freeze(which, ms) {
      const name = [...nodes.keys()][which % Math.max(1, nodes.size)]
      if (name !== undefined) freeze(name, ms)
      return name !== undefined
    },
    befall(name, what) {
      const known = names.find(candidate => candidate === name)
      if (known === undefined || !nodes.has(known)) return
      if (what === 'crash') crash(known, 2_000, false)
      else if (cast === 'rivals' && nodes.size > 1) freeze(known, 3 * pulse.leaseTermMs)
    },
    disturb,
    unsettle() {
      lastJumpMs = time.elapsedMs()
      lastUnsettledMs = Math.max(lastUnsettledMs, lastJumpMs)
      if (calmFromElapsedMs <= time.elapsedMs()) disturb(2_000)
    },
    calmSinceMs: () => (time.elapsedMs() < calmFromElapsedMs ? Infinity : calmMs),
    isUnsettled: () => time.elapsedMs() < lastUnsettledMs + unsettledMs,
    hasClockJumped: () => time.elapsedMs() < lastJumpMs + unsettledMs,
  }
}
