import type {Mutant} from './mutant.ts'

const file = 'src/booking/decider.ts'

export const bookingMutants: readonly Mutant[] = [
  {
    name: 'a booking that is over is cancelled again',
    file,
    guard: "    return refuse({type: 'AlreadyEnded', status: state.status})\n",
    without: '',
    shows: /becomes over (when it is over|without a hold)/,
  },
  {
    name: 'a booking is confirmed twice',
    file,
    guard: '      if (state !== null) return accept()\n',
    without: '',
    shows: /becomes confirmed when it is|becomes confirmed without a hold/,
  },
  {
    name: 'a booking that is over is ended again',
    file,
    guard: "    if (state.status !== 'confirmed' && state.status !== 'started') return accept()\n",
    without: '',
    shows: /becomes (started|over) (when it is over|without a hold)/,
  },
  {
    name: 'a booking is started twice',
    file,
    guard: "      if (state.status === 'started') return accept()\n",
    without: '',
    shows: /becomes started when it is started/,
  },
  {
    name: 'a customer cancels somebody else’s booking',
    file,
    guard: "  if (!command.asOperator && command.by !== state.terms.userId) return refuse({type: 'NotYours'})\n",
    without: '',
    shows: /cancelled by a stranger/,
  },
  {
    name: 'a booking without a machine is charged',
    file,
    guard: "const neverThere = state.status === 'confirmed'",
    without: 'const neverThere = false',
    shows: /was charged .* without a machine/,
  },
  {
    name: 'a time without a machine is counted from before the last one',
    file,
    guard: 'return maxInstant(state.downSince ?? state.upSince ?? start, minInstant(maxInstant(start, at), end))',
    without: 'return minInstant(maxInstant(start, at), end)',
    shows: /goes back in time/,
  },
]
