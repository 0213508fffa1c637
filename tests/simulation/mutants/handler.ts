import type {Mutant} from './mutant.ts'

const lane = 'src/event-store/lane.ts'

export const handlerMutants: readonly Mutant[] = [
  {
    name: 'a command that was sent again is decided on what came after it',
    file: lane,
    guard: 'const decision = isRepeat && wanted.ok ? accept<AnyEvent>() : wanted',
    without: 'const decision = isRepeat && !wanted.ok ? accept<AnyEvent>() : wanted',
    shows: /comes of a command sent twice/,
  },
  {
    name: 'what somebody else wrote is taken for one’s own',
    file: lane,
    guard: 'return found.length === events.length ? (found.at(-1)?.position.commit ?? null) : null',
    without: 'return found.at(-1)?.position.commit ?? 0n',
    shows: /is not in the log|credited without|becomes \w+ (when|without)|was credited twice|is still/,
  },
  {
    name: 'a refusal is given on what was known some time ago',
    file: lane,
    guard: '        if ((await catchUp(base)).now.revision !== base.revision) continue\n',
    without: '',
    shows: /was refused for want of hours|was acknowledged/,
  },
  {
    name: 'a command is decided on what was before the last one',
    file: lane,
    guard: '        if (decision.ok) state = fold(decider, state, decision.events)\n',
    without: '        if (decision.ok) fold(decider, state, decision.events)\n',
    shows: /the lease goes from epoch|were held twice|overlap on|becomes \w+ when it is/,
  },
  {
    name: 'events of other data have the same id',
    file: 'src/event-store/command.ts',
    guard: ', String(index), JSON.stringify(data))',
    without: ', String(index), typeof data)',
    shows: /becomes \w+ when it is|overlap on|is called|does not open|OtherKey|is still/,
  },
  {
    name: 'a repeated request is a new booking',
    file: 'src/dispatch/bookings.ts',
    guard: "derivedUuid('booking', commandId) as BookingId",
    without: "derivedUuid('booking', commandId, clock.now()) as BookingId",
    shows: /made two bookings/,
  },
]
