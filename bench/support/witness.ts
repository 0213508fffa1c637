import type {DriverKind} from '../../src/drivers/port.ts'
import {msOf, type Clock} from '../../src/kernel/time.ts'

/** A call of a driver, when it was made by the wall clock. */
export interface Told {
  readonly machineId: string
  readonly op: 'start' | 'stop' | 'kill'
  readonly atMs: number
}

/** The same drivers, with every command written down by the one who gets it. */
export function witnessed(kind: DriverKind, clock: Clock, told: Told[]): DriverKind {
  return {
    ...kind,
    open(machineId, config) {
      const driver = kind.open(machineId, config)
      const note = (op: Told['op']): void => void told.push({machineId, op, atMs: msOf(clock.now())})
      return {
        ...driver,
        start(signal) {
          note('start')
          return driver.start(signal)
        },
        stop(signal) {
          note('stop')
          return driver.stop(signal)
        },
        kill(signal) {
          note('kill')
          return driver.kill(signal)
        },
      }
    },
  }
}
