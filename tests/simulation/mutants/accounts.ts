import type {Mutant} from './mutant.ts'

const file = 'src/account/decider.ts'

export const accountMutants: readonly Mutant[] = [
  {
    name: 'hours are held that are not there',
    file,
    guard: 'if (available < terms.minutes) {',
    without: 'if (available < 0) {',
    shows: /draws on account-\S+ are not/,
  },
  {
    name: 'a hold asked for again is made again',
    file,
    guard: "  if (wish !== undefined) return wish === wishOf(terms) ? accept() : refuse({type: 'CommandIdReused'})\n",
    without: '',
    shows: /were held twice/,
  },
  {
    name: 'hours granted under one id are granted again',
    file,
    guard:
      "      if (known !== undefined) return isGrantOf(known, command) ? accept() : refuse({type: 'CommandIdReused'})\n",
    without: '      void (known !== undefined && isGrantOf(known, command))\n',
    shows: /was given twice/,
  },
  {
    name: 'a hold that was settled stays open',
    file,
    guard: 'holds: drop(state.holds, data.bookingId),',
    without: 'holds: state.holds,',
    shows: /gave more than it took/,
  },
  {
    name: 'hours are drawn after they have expired',
    file,
    guard: ' && (grant.expiresAt === null || grant.expiresAt > now)',
    without: '',
    shows: /drew on hours that had expired/,
  },
  {
    name: 'hours expire before their time',
    file,
    guard: 'grant.expiresAt !== null && grant.expiresAt <= now && grant.available > 0',
    without: 'grant.expiresAt !== null && grant.available > 0',
    shows: /expired before their time/,
  },
]
