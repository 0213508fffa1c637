import type {Mutant} from './mutant.ts'

const agenda = 'src/calendar/agenda.ts'
const decider = 'src/calendar/decider.ts'

export const calendarMutants: readonly Mutant[] = [
  {
    name: 'a slot may overlap the one before it',
    file: agenda,
    guard: '  if (before !== undefined && collide(before, slot)) return null\n',
    without: '',
    shows: /overlap on/,
  },
  {
    name: 'a slot may overlap the one after it',
    file: agenda,
    guard: '  if (after !== undefined && collide(slot, after)) return null\n',
    without: '',
    shows: /overlap on/,
  },
  {
    name: 'the warm-up lead is not kept free',
    file: agenda,
    guard: 'return allocation.startMs - allocation.warmUpMs',
    without: 'return allocation.startMs',
    shows: /overlap on/,
  },
  {
    name: 'the turnaround buffer is not kept free',
    file: agenda,
    guard: 'return allocation.endMs + allocation.turnaroundMs',
    without: 'return allocation.endMs',
    shows: /overlap on/,
  },
  {
    name: 'a slot that was declined may be allocated later',
    file: decider,
    guard: ' || goneBecause(state, bookingId) !== undefined) return accept()\n  if (msBetween',
    without: ') return accept()\n  if (msBetween',
    shows: /becomes allocated (when it is declined|without a hold)/,
  },
  {
    name: 'a slot asked for again is allocated again',
    file: decider,
    guard: 'if (lookUp(state.machineOf, bookingId) !== undefined || goneBecause',
    without: 'if (goneBecause',
    shows: /becomes allocated when it is|overlap on/,
  },
  {
    name: 'a machine that was withdrawn is still given out',
    file: decider,
    guard: 'return agenda.offered && ',
    without: 'return ',
    shows: /withdrawn/,
  },
  {
    name: 'an allocation that was moved is moved again',
    file: decider,
    guard: '  if (machineId !== fromMachineId) return accept()\n',
    without: '',
    shows: /moved from a machine it did not have/,
  },
]
