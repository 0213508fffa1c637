import type {PowerEffect} from '../../src/drivers/simulated.ts'
import type {LogRule, LogWorld, Report} from './rule-of-log.ts'

export interface StartsRule extends LogRule {
  effect(effect: PowerEffect): void
}

/**
 * A session begins on a machine that whoever begins it has seen running: not on one that went off before they came. Only
 * asked where one program acts at a time; one that cannot be reached is taken for what it was.
 */
export function checkStarts(world: LogWorld, report: Report): StartsRule {
  const bookings = new Map<string, {machineId: string; readonly endMs: number}>()
  const offSinceMs = new Map<string, number>()
  const silent = new Set<string>()
  let actingSinceMs = 0
  return {
    effect({machineId, effect, at}) {
      if (effect === 'started' || effect === 'rebooted') offSinceMs.delete(machineId)
      else offSinceMs.set(machineId, world.elapsedMs() - (world.nowMs() - Date.parse(at)))
    },
    see({type, data}, {decidedMs}) {
      switch (type) {
        case 'LeaseTaken':
          actingSinceMs = world.elapsedMs()
          return
        case 'PowerObserved':
          if (data.power === 'unreachable') silent.add(data.machineId)
          else silent.delete(data.machineId)
          return
        case 'BookingConfirmed':
          bookings.set(data.bookingId, {machineId: data.machineId, endMs: Date.parse(data.terms.interval.end)})
          return
        case 'BookingFailedOver': {
          const booking = bookings.get(data.bookingId)
          if (booking !== undefined) booking.machineId = data.toMachineId
          return
        }
        case 'BookingStarted': {
          const booking = bookings.get(data.bookingId)
          if (booking === undefined || decidedMs >= booking.endMs || world.leaseTermMs() > 0) return
          const {machineId} = booking
          // What is asked here is also told to `effect`, if it is news.
          if (world.truth(machineId) !== 'off' || silent.has(machineId)) return
          const isUnseen = (offSinceMs.get(machineId) ?? Infinity) < actingSinceMs
          if (isUnseen) report(`${data.bookingId} starts on ${machineId}, which is off since before anybody looked`)
          return
        }
        case 'BookingEnded':
        case 'BookingCancelled':
        case 'BookingFailed':
          bookings.delete(data.bookingId)
          return
        default:
      }
    },
  }
}
