import type {AnyEvent} from '../kernel/messages.ts'
import type {PoweredBooking} from './power.ts'

/** What each machine is booked for, kept from one look to the next: a machine is looked at far more often than booked. */
export interface Plans {
  readonly bookingsOn: (machineId: string) => readonly PoweredBooking[]
  /** An event that the read model has folded: whatever it may have changed is read anew. */
  forget(event: AnyEvent): void
}

/** A booking comes to a machine by an event that names the machine, and leaves it by one that names the booking. */
export function keepPlans(read: Plans['bookingsOn']): Plans {
  const plans = new Map<string, readonly PoweredBooking[]>()
  const machineOf = new Map<string, string>()

  const drop = (machineId: string | undefined): void => {
    if (machineId === undefined) return
    for (const {bookingId} of plans.get(machineId) ?? []) machineOf.delete(bookingId)
    plans.delete(machineId)
  }
  return {
    bookingsOn(machineId) {
      const known = plans.get(machineId)
      if (known !== undefined) return known
      const bookings = read(machineId)
      plans.set(machineId, bookings)
      for (const {bookingId} of bookings) machineOf.set(bookingId, machineId)
      return bookings
    },
    forget({data}) {
      const {bookingId, machineId, fromMachineId, toMachineId} = data as Partial<Record<string, string>>
      if (bookingId === undefined) return
      for (const each of [machineId, fromMachineId, toMachineId, machineOf.get(bookingId)]) drop(each)
    },
  }
}
