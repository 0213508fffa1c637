import type {Report, Rule} from './rule.ts'

interface Slot {
  readonly userId: string
  readonly startMs: number
  readonly endMs: number
  readonly fromMs: number
  readonly untilMs: number
  readonly turnaroundMs: number
}

const minuteMs = 60_000
/** Who acts on a slot that was just given back could not know it yet. */
const latelyMs = 60_000

export interface Cover {
  /** Whether a booking's slot on this machine covers the moment, warm-up and turnaround included. */
  covers(machineId: string, atMs: number): boolean
  /** The same, or one did until a moment ago. */
  coveredLately(machineId: string, atMs: number): boolean
}

/** No two live allocations of one machine overlap, buffers included; one customer's own may touch. */
export function checkCalendar(report: Report): Rule & Cover {
  const machines = new Map<string, Map<string, Slot>>()
  const former = new Map<string, {readonly slot: Slot; readonly goneMs: number}>()
  const slotsOf = (machineId: string): Map<string, Slot> => {
    const slots = machines.get(machineId) ?? new Map<string, Slot>()
    machines.set(machineId, slots)
    return slots
  }

  function place(machineId: string, bookingId: string, slot: Slot, nowMs: number): void {
    const slots = slotsOf(machineId)
    for (const [otherId, other] of slots) {
      if (other.untilMs + 86_400_000 < nowMs) slots.delete(otherId)
      const isOwn = other.userId === slot.userId
      const overlaps = isOwn
        ? other.startMs < slot.endMs && slot.startMs < other.endMs
        : other.fromMs < slot.untilMs && slot.fromMs < other.untilMs
      if (overlaps) report(`slots of ${otherId} and ${bookingId} overlap on ${machineId}`)
    }
    slots.set(bookingId, slot)
  }

  function covers(machineId: string, atMs: number): boolean {
    for (const {fromMs, untilMs} of slotsOf(machineId).values()) if (fromMs <= atMs && atMs <= untilMs) return true
    return false
  }

  return {
    covers,
    coveredLately(machineId, atMs) {
      const last = former.get(machineId)
      const wasCovered =
        last !== undefined && atMs - last.goneMs < latelyMs && last.slot.fromMs <= atMs && atMs <= last.slot.untilMs
      return wasCovered || covers(machineId, atMs)
    },
    see({type, data}, _stream, nowMs) {
      if (type === 'SlotAllocated') {
        const startMs = Date.parse(data.interval.start)
        const endMs = Date.parse(data.interval.end)
        const turnaroundMs = data.turnaroundMinutes * minuteMs
        const buffered = {fromMs: startMs - data.warmUpMinutes * minuteMs, untilMs: endMs + turnaroundMs, turnaroundMs}
        place(data.machineId, data.bookingId, {userId: data.userId, startMs, endMs, ...buffered}, nowMs)
      } else if (type === 'AllocationShortened') {
        const slots = slotsOf(data.machineId)
        const slot = slots.get(data.bookingId)
        const endMs = Date.parse(data.end)
        if (slot === undefined) return
        former.set(data.machineId, {slot, goneMs: nowMs})
        if (endMs <= slot.startMs) slots.delete(data.bookingId)
        else slots.set(data.bookingId, {...slot, endMs, untilMs: endMs + slot.turnaroundMs})
      } else if (type === 'AllocationFailedOver') {
        const slot = slotsOf(data.fromMachineId).get(data.bookingId)
        if (slot === undefined) return report(`${data.bookingId} moved from a machine it did not have`)
        former.set(data.fromMachineId, {slot, goneMs: nowMs})
        slotsOf(data.fromMachineId).delete(data.bookingId)
        const atMs = Date.parse(data.at)
        const startMs = Math.max(slot.startMs, atMs)
        place(data.toMachineId, data.bookingId, {...slot, startMs, fromMs: Math.max(slot.fromMs, atMs)}, nowMs)
      }
    },
  }
}
