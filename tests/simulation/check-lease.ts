import type {LogRule, LogWorld, Report} from './rule-of-log.ts'

/** Whoever holds the lease keeps it until it is given up or its term has passed without a renewal. */
export function checkLease(world: LogWorld, report: Report): LogRule & {readonly holder: () => string | null} {
  let holder: string | null = null
  let epoch = 0
  let goodSinceMs = -Infinity
  return {
    holder: () => holder,
    see({type, data}) {
      switch (type) {
        case 'LeaseTaken': {
          const ageMs = world.elapsedMs() - goodSinceMs
          const isTaken = holder !== null && holder !== data.holder && ageMs < world.leaseTermMs()
          if (isTaken)
            report(`the lease was taken from ${holder} by ${data.holder} while it was good, after ${ageMs} ms`)
          if (data.epoch !== epoch + 1) report(`the lease goes from epoch ${epoch} to ${data.epoch}`)
          ;({holder, epoch} = data)
          goodSinceMs = world.elapsedMs()
          return
        }
        case 'LeaseRenewed':
          if (data.holder !== holder || data.epoch !== epoch) report(`${data.holder} renews a lease it does not hold`)
          goodSinceMs = world.elapsedMs()
          return
        case 'LeaseReleased':
          if (data.holder !== holder || data.epoch !== epoch) report(`${data.holder} releases a lease it does not hold`)
          holder = null
          return
        default:
      }
    },
  }
}
