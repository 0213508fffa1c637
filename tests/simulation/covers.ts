import type {DomainEvent} from '../../projections/projection.ts'

/** A booking's claim on a machine, warm-up and turnaround apart. */
export interface Slot {
  readonly bookingId: string
  readonly fromMs: number
  readonly startMs: number
  readonly endMs: number
  /** Since when it is on this machine. */
  readonly sinceMs: number
  /** The booking knows it: a moved one is told so after the calendar. */
  readonly isAgreed: boolean
}

type Stage = 'allocated' | 'confirmed' | 'started'

/** Which bookings want which machine when, by the log. */
export interface Covers {
  see(event: DomainEvent, atMs: number): void
  /** The booking for which the machine may be on, from its warm-up to its end; null: none. */
  at(machineId: string, atMs: number): Slot | null
  /** The same for bookings that stand: confirmed, and not over. */
  firmAt(machineId: string, atMs: number): Slot | null
  /** When the last booking of the machine that is not any more ended or was taken from it; -Infinity: there was none. */
  endedMs(machineId: string, atMs: number): number
  isStarted(bookingId: string): boolean
  /** When the next slot begins or ends. */
  nextEdgeMs(machineId: string, atMs: number): number
  forget(machineId: string, bookingId: string): void
  /** Forgets what is long over. */
  tidy(nowMs: number): void
}

const minuteMs = 60_000
const longMs = 60 * minuteMs

export function createCovers(): Covers {
  const machines = new Map<string, Map<string, Slot>>()
  const stages = new Map<string, Stage>()
  const takenMs = new Map<string, number>()
  const slotsOf = (machineId: string): Map<string, Slot> => {
    const slots = machines.get(machineId) ?? new Map<string, Slot>()
    machines.set(machineId, slots)
    return slots
  }
  const isFirm = (bookingId: string): boolean => {
    const stage = stages.get(bookingId)
    return stage === 'confirmed' || stage === 'started'
  }
  const find = (machineId: string, atMs: number, which: (slot: Slot) => boolean): Slot | null => {
    for (const slot of slotsOf(machineId).values()) {
      if (slot.fromMs <= atMs && atMs < slot.endMs && which(slot)) return slot
    }
    return null
  }
  const take = (machineId: string, bookingId: string, atMs: number): void => {
    slotsOf(machineId).delete(bookingId)
    takenMs.set(machineId, Math.max(takenMs.get(machineId) ?? -Infinity, atMs))
  }
  /** Over, whatever its interval: nothing is to be on for it from here on. */
  const close = (bookingId: string, atMs: number): void => {
    stages.delete(bookingId)
    for (const [machineId, slots] of machines) if (slots.has(bookingId)) take(machineId, bookingId, atMs)
  }

  return {
    at: (machineId, atMs) => find(machineId, atMs, () => true),
    firmAt: (machineId, atMs) => find(machineId, atMs, ({bookingId}) => isFirm(bookingId)),
    isStarted: bookingId => stages.get(bookingId) === 'started',
    endedMs(machineId, atMs) {
      let endedMs = takenMs.get(machineId) ?? -Infinity
      for (const {endMs} of slotsOf(machineId).values()) if (endMs <= atMs) endedMs = Math.max(endedMs, endMs)
      return endedMs
    },
    nextEdgeMs(machineId, atMs) {
      let nextMs = Infinity
      for (const {startMs, endMs} of slotsOf(machineId).values()) {
        const edgeMs = startMs > atMs ? startMs : endMs > atMs ? endMs : Infinity
        nextMs = Math.min(nextMs, edgeMs)
      }
      return nextMs
    },
    forget: (machineId, bookingId) => void slotsOf(machineId).delete(bookingId),
    tidy(nowMs) {
      for (const [machineId, slots] of machines) {
        for (const {bookingId, endMs} of slots.values()) {
          if (endMs + longMs >= nowMs) continue
          take(machineId, bookingId, endMs)
          stages.delete(bookingId)
        }
      }
    },
    see({type, data}, atMs) {
      switch (type) {
        case 'SlotAllocated': {
          const [startMs, endMs] = [Date.parse(data.interval.start), Date.parse(data.interval.end)]
          const {bookingId, machineId, warmUpMinutes} = data
          const fromMs = startMs - warmUpMinutes * minuteMs
          slotsOf(machineId).set(bookingId, {bookingId, fromMs, startMs, endMs, sinceMs: atMs, isAgreed: true})
          stages.set(bookingId, 'allocated')
          return
        }
        case 'AllocationFailedOver': {
          const {bookingId, fromMachineId, toMachineId} = data
          const slot = slotsOf(fromMachineId).get(bookingId)
          take(fromMachineId, bookingId, atMs)
          if (slot !== undefined) slotsOf(toMachineId).set(bookingId, {...slot, sinceMs: atMs, isAgreed: false})
          return
        }
        case 'BookingFailedOver': {
          const slot = slotsOf(data.toMachineId).get(data.bookingId)
          if (slot === undefined) return
          slotsOf(data.toMachineId).set(data.bookingId, {...slot, sinceMs: atMs, isAgreed: true})
          return
        }
        case 'BookingConfirmed': {
          stages.set(data.bookingId, 'confirmed')
          const slot = slotsOf(data.machineId).get(data.bookingId)
          if (slot !== undefined) slotsOf(data.machineId).set(data.bookingId, {...slot, sinceMs: atMs})
          return
        }
        case 'BookingStarted':
          stages.set(data.bookingId, 'started')
          return
        case 'BookingEnded':
        case 'BookingCancelled':
        case 'BookingFailed':
          return close(data.bookingId, atMs)
        default:
      }
    },
  }
}
