import type {Mutant} from './mutant.ts'

const decider = 'src/fleet/decider.ts'
const states = 'src/fleet/machine-state.ts'
const power = 'src/fleet/power.ts'
const wishes = 'src/processes/power.ts'

export const machineMutants: readonly Mutant[] = [
  {
    name: 'a power command is accepted that is no longer under way',
    file: decider,
    guard: `      case 'AcceptPowerCommand': {
        if (!isUnderWay(state, command.powerCommandId)) return accept()
`,
    without: `      case 'AcceptPowerCommand': {
`,
    shows: /was not under way/,
  },
  {
    name: 'whoever held the lease before goes on deciding',
    file: decider,
    guard: "  if (command.epoch < before.epoch) return refuse({type: 'Fenced', epoch: before.epoch})\n",
    without: '',
    also: {
      file: 'src/processes/machine-worker.ts',
      guard: 'onlyWhile: () => lease.isHeld()',
      without: 'onlyWhile: () => true',
    },
    shows: /under an older lease/,
  },
  {
    name: 'a command that is planned counts at once',
    file: states,
    guard: 'return planned === null || now < planned.dueAt ? state',
    without: 'return planned === null ? state',
    shows: /was told|in the middle of|was killed|is still|was not planned|while something is planned/,
  },
  {
    name: 'a command stays planned though nobody wants it any more',
    file: decider,
    guard: '    facts.push(withdrawn(planned, now))\n',
    without: '',
    shows: /while something is planned/,
  },
  {
    name: 'a planned command is forgotten when its moment comes',
    file: states,
    guard:
      '  const current = planned?.powerCommandId === powerCommandId ? sent(state, planned) : comeDue(state, event.data.at)\n',
    without: '  const current = state\n',
    shows: /was not under way|again after|was told|was killed|is on for nobody|started again/,
  },
  {
    name: 'a machine in quarantine is switched',
    file: power,
    guard: 'if (state.quarantined || state.seen === null) return nothing',
    without: 'if (state.seen === null) return nothing',
    shows: /in quarantine/,
  },
  {
    name: 'a machine that does not answer is taken for one that is on',
    file: power,
    guard: "  if (state.seen === 'unreachable') return planUnseen(state, desired, sinceMs, timings)\n",
    without: '  void planUnseen\n',
    shows: /that does not answer/,
  },
  {
    name: 'a machine is killed without the grace to stop',
    file: power,
    guard: 'if (inPhase >= timings.stopGraceSeconds) return',
    without: 'if (inPhase >= 0) return',
    shows: /was killed/,
  },
  {
    name: 'a machine that boots is started again',
    file: power,
    guard:
      "  if (state.phase === 'booting' && secondsIn(state, sinceMs) < timings.bootTimeoutSeconds) return nothing\n",
    without: '',
    shows: /was started again while it booted/,
  },
  {
    name: 'starts are tried without end',
    file: power,
    guard: '(state.hopeless || attempts >= timings.attemptsMax)',
    without: 'state.hopeless',
    shows: /was tried \d+ times/,
  },
  {
    name: 'a machine that is stopping is told so at every look',
    file: power,
    guard: '  if (sentMs < stopResendSeconds * 1000) return nothing\n',
    without: '  void [sentMs, stopResendSeconds]\n',
    shows: /again after \d+ ms/,
  },
  {
    name: 'a driver that asked for time is called at once',
    file: power,
    guard: 'return state.retryAt !== null && sinceMs(state.retryAt) < 0',
    without: 'return state.retryAt !== null && sinceMs(state.retryAt) < -Infinity',
    shows: /before its driver may be asked/,
  },
  {
    name: 'machines are switched on long before they are needed',
    file: wishes,
    guard: 'if (now >= from && now < end) desired',
    without: 'if (now < end) desired',
    shows: /was started for nobody/,
  },
  {
    name: 'machines in quarantine are offered',
    file: wishes,
    guard: 'return !machine.quarantined',
    without: 'return true',
    shows: /is offered in quarantine/,
  },
]
