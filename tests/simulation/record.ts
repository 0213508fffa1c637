import {createHash} from 'node:crypto'
import type {PowerEffect} from '../../src/drivers/simulated.ts'
import type {RecordedEvent} from '../../src/event-store/port.ts'
import type {Report} from '../../src/verify/rule.ts'
import {dayMs} from './script.ts'
import type {VirtualTime} from './virtual-time.ts'

/** What is kept of a run: a digest of all that happened, and what went wrong. */
export interface RunRecord {
  event(event: RecordedEvent, text: string): void
  effect(effect: PowerEffect): void
  readonly report: Report
  readonly violations: readonly string[]
  /** When each was seen, in simulated days from the start. */
  readonly violationDays: readonly number[]
  /** Events by type. */
  readonly types: Readonly<Record<string, number>>
  digest(): string
}

export function createRecord(time: VirtualTime, onTakeOver: () => void): RunRecord {
  const hash = createHash('sha256')
  const types: Record<string, number> = {}
  const violations: string[] = []
  const violationDays: number[] = []
  let holder: string | null = null
  return {
    violations,
    violationDays,
    types,
    report(violation) {
      violations.push(`${time.clock.now()} ${violation}`)
      violationDays.push(time.elapsedMs() / dayMs)
    },
    event({id, stream, type, data}, text) {
      hash.update(`${id} ${stream} ${type} ${text}\n`)
      types[type] = (types[type] ?? 0) + 1
      if (type !== 'LeaseTaken') return
      const {holder: taker} = data as {holder: string}
      if (holder !== null && holder !== taker) onTakeOver()
      holder = taker
    },
    effect: effect => void hash.update(JSON.stringify(effect)),
    digest: () => hash.digest('hex'),
  }
}
