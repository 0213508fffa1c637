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

/** No two live allocations of one machine overlap, buffers included; one customer's own may touch. */
export function checkCalendar(report: Report): Rule {
  const machines = new Map<string, Map<string, Slot>>()
  const slotsOf = (machineId: string): Map<string, Slot> => {
    const slots = machines.get(machineId) ?? new Map<string, Slot>()
    machines.set(machineId, slots)
    return slots
  }

  function place(machineId: string, bookingId: string, slot: Slot, nowMs: number): void {
    const slots = slotsOf(machineId)
    for (const [otherId, other] of slots) {
      if (other.untilMs + 86_400_000 < nowMs) slots.delete(otherId)
      const touches = other.endMs === slot.startMs || slot.endMs === other.startMs
      if (touches && other.userId === slot.userId) continue
      if (other.fromMs < slot.untilMs && slot.fromMs < other.untilMs) {
        report(`slots of ${otherId} and ${bookingId} overlap on ${machineId}`)
      }
    }
    slots.set(bookingId, slot)
  }

  return {
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
        if (endMs <= slot.startMs) slots.delete(data.bookingId)
        else slots.set(data.bookingId, {...slot, endMs, untilMs: endMs + slot.turnaroundMs})
      } else if (type === 'AllocationFailedOver') {
        const slot = slotsOf(data.fromMachineId).get(data.bookingId)
        if (slot === undefined) return report(`${data.bookingId} moved from a machine it did not have`)
        slotsOf(data.fromMachineId).delete(data.bookingId)
        const atMs = Date.parse(data.at)
        const startMs = Math.max(slot.startMs, atMs)
        place(data.toMachineId, data.bookingId, {...slot, startMs, fromMs: Math.max(slot.fromMs, atMs)}, nowMs)
      }
    },
  }
}
