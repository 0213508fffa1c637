import type {Mutant} from './mutant.ts'

const booking = 'src/processes/booking.ts'
const runner = 'src/processes/runner.ts'
const scheduler = 'src/processes/scheduler.ts'
const keeper = 'src/processes/lease-keeper.ts'
const worker = 'src/processes/machine-worker.ts'

export const processMutants: readonly Mutant[] = [
  {
    name: 'nobody finishes a booking that its caller left',
    file: booking,
    guard: "return now >= orphanedAt ? {do: 'finishBooking'} : {do: 'nothing', lookAgainAt: orphanedAt}",
    without: "return {do: 'nothing', lookAgainAt: now >= orphanedAt ? null : orphanedAt}",
    shows: /is still (held|allocated) with its hold/,
  },
  {
    name: 'a booking that is over is not settled',
    file: booking,
    guard: "      if (work.heldMinutes > 0) return {do: 'settle', outcome: work.outcome}\n",
    without: '',
    shows: /is still over with its hold/,
  },
  {
    name: 'a cancelled booking keeps its slot',
    file: booking,
    guard: "return work.slotHeld ? {do: 'giveSlotBack', end: work.outcome.at} : {do: 'nothing', lookAgainAt: null}",
    without: "return {do: 'nothing', lookAgainAt: null}",
    shows: /keeps the slot/,
  },
  {
    name: 'a booking stays on a machine in quarantine',
    file: booking,
    guard: '      if (machine?.quarantined === true) return replaceMachine(work, now)\n      if (now < worth',
    without: '      if (now < worth',
    shows: /is left on a machine in quarantine/,
  },
  {
    name: 'after a start, nobody looks after the bookings there are',
    file: runner,
    guard: '  for (const id of work.bookingIds()) steps.touch(`booking:${id}`)\n',
    without: '',
    shows: /is still .* with its hold/,
  },
  {
    name: 'after a start, nobody fulfils what was paid',
    file: runner,
    guard: '  for (const id of work.paidPurchaseIds()) steps.touch(`purchase:${id}`)\n',
    without: '',
    shows: /was paid and not fulfilled/,
  },
  {
    name: 'after a start, nobody looks at the machines there are',
    file: runner,
    guard: '  for (const id of work.machineIds()) looks.touch(id)\n',
    without: '',
    shows: /is on for nobody|has no running machine|is still .* with its hold/,
  },
  {
    name: 'a session begins on the word of somebody who stopped looking',
    file: runner,
    guard: 'if (fleet.unseen.size > 0 && waitsForLook(',
    without: 'if (fleet.unseen.size < 0 && waitsForLook(',
    shows: /is off since before anybody looked/,
  },
  {
    name: 'news of a booking that is being worked on is lost',
    file: scheduler,
    guard: '    if (touchedMeanwhile.delete(key)) due.set(key, nowMs())\n',
    without: '    touchedMeanwhile.delete(key)\n',
    shows:
      /is still .* with its hold|was paid and not fulfilled|keeps the slot|did not follow|is offered in quarantine/,
  },
  {
    name: 'a step that failed is not tried again',
    file: scheduler,
    guard: '      due.set(key, nowMs() + Math.min(backoffMsMax, 500 * 2 ** count) * (0.5 + random() / 2))\n',
    without: '      void [backoffMsMax, random]\n',
    shows: /is still .* with its hold|was paid and not fulfilled|is on for nobody/,
  },
  {
    name: 'a lease is taken that moved since it was looked at',
    file: 'src/processes/lease.ts',
    guard:
      "        if (seen.epoch !== state.epoch || seen.renewals !== state.renewals) return refuse({type: 'LeaseMoved'})\n",
    without: '        void seen\n',
    shows: /was taken from .* while it was good/,
  },
  {
    name: 'a lease is taken without waiting for its end',
    file: keeper,
    guard: 'if (free || clock.monotonicMs() - seenAtMs > termMs) {',
    without: 'if (free || clock.monotonicMs() >= seenAtMs) {',
    shows: /was taken from .* while it was good/,
  },
  {
    name: 'a lease is believed in beyond its term',
    file: keeper,
    guard: '(exclusive || clock.monotonicMs() < taken.goodUntilMs)',
    without: '(exclusive || clock.monotonicMs() < Infinity)',
    shows: /without the lease/,
  },
  {
    name: 'a driver is called after the lease ran out',
    file: worker,
    guard: '  if (!lease.isHeld()) return unknown(commit)\n',
    without: '',
    shows: /without the lease/,
  },
  {
    name: 'a planned command is sent though something else is wanted by now',
    file: worker,
    guard: 'if ((wishes.desired?.for ?? null) === intent.wish) return',
    without: 'if (intent.wish !== undefined) return',
    shows: /was started for nobody|in the middle of/,
  },
]
