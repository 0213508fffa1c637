import {accept, assertNever, refuse, type Decider} from '../kernel/decider.ts'
import {leaseCategory, type LeaseEvent} from './lease-events.ts'

export type LeaseCommand =
  /** Refused when the lease is no longer where the candidate last saw it. */
  | {readonly type: 'TakeLease'; readonly holder: string; readonly seen: LeaseState}
  | {readonly type: 'RenewLease'; readonly holder: string; readonly epoch: number}
  | {readonly type: 'ReleaseLease'; readonly holder: string; readonly epoch: number}

export type LeaseRefusal = {readonly type: 'LeaseMoved'} | {readonly type: 'NotHolder'}

export interface LeaseState {
  /** Null: nobody holds it. */
  readonly holder: string | null
  readonly epoch: number
  /** Grows with every renewal: a lease that stands still for its whole term has lost its holder. */
  readonly renewals: number
}

export const lease: Decider<LeaseState, LeaseCommand, LeaseEvent, LeaseRefusal> = {
  category: leaseCategory,
  initial: {holder: null, epoch: 0, renewals: 0},

  decide(command, state, {now}) {
    const {holder} = command
    switch (command.type) {
      case 'TakeLease': {
        const {seen} = command
        if (seen.epoch !== state.epoch || seen.renewals !== state.renewals) return refuse({type: 'LeaseMoved'})
        return accept({type: 'LeaseTaken', data: {holder, epoch: state.epoch + 1, at: now}})
      }
      case 'RenewLease':
        if (!holds(state, command)) return refuse({type: 'NotHolder'})
        return accept({type: 'LeaseRenewed', data: {holder, epoch: state.epoch, at: now}})
      case 'ReleaseLease':
        if (!holds(state, command)) return accept()
        return accept({type: 'LeaseReleased', data: {holder, epoch: state.epoch, at: now}})
      default:
        return assertNever(command)
    }
  },

  evolve({renewals}, event) {
    // Nothing is taken from earlier events but the count: the store keeps only the newest (lease-history.ts).
    switch (event.type) {
      case 'LeaseTaken':
        return {holder: event.data.holder, epoch: event.data.epoch, renewals: 0}
      case 'LeaseRenewed':
        return {holder: event.data.holder, epoch: event.data.epoch, renewals: renewals + 1}
      case 'LeaseReleased':
        return {holder: null, epoch: event.data.epoch, renewals}
      default:
        return assertNever(event)
    }
  },
}

function holds(state: LeaseState, command: {readonly holder: string; readonly epoch: number}): boolean {
  return state.holder === command.holder && state.epoch === command.epoch
}
