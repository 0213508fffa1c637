import type {PowerEffect} from '../../src/drivers/simulated.ts'
import type {Report} from './rule.ts'

/** What is asked of the calendar's fold. */
interface Cover {
  covers(machineId: string, atMs: number): boolean
  coveredLately(machineId: string, atMs: number): boolean
}

const uncoveredMsMax = 10 * 60_000

/** A machine is started only for a booking, none early, and does not stay on without one. */
export function checkPower(cover: Cover, report: Report) {
  const uncoveredSince = new Map<string, number>()
  const quarantined = new Set<string>()
  return {
    note(type: string, machineId: string): void {
      if (type === 'MachineQuarantined') quarantined.add(machineId)
      if (type === 'QuarantineLifted') quarantined.delete(machineId)
    },
    effect({machineId, effect, at}: PowerEffect): void {
      if (effect !== 'started') return
      if (!cover.coveredLately(machineId, Date.parse(at))) report(`${machineId} was started at ${at} for nobody`)
    },
    look(machineId: string, isOn: boolean, nowMs: number, calmSinceMs: number): void {
      if (!isOn || cover.covers(machineId, nowMs) || quarantined.has(machineId)) {
        uncoveredSince.delete(machineId)
        return
      }
      const since = uncoveredSince.get(machineId) ?? nowMs
      uncoveredSince.set(machineId, since)
      if (nowMs <= Math.max(since, calmSinceMs) + uncoveredMsMax) return
      report(`${machineId} is on for nobody`)
      uncoveredSince.set(machineId, nowMs)
    },
  }
}
