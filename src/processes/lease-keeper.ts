import type {CommandMeta} from '../event-store/command.ts'
import type {Handler} from '../event-store/handler.ts'
import {derivedCommandId, type IdSource} from '../kernel/ids.ts'
import type {Clock, Timers} from '../kernel/time.ts'
import {leaseStream} from './lease-events.ts'
import {lease, type LeaseCommand, type LeaseState} from './lease.ts'

export interface LeaseParts {
  readonly handler: Handler
  readonly clock: Clock
  readonly timers: Timers
  readonly ids: IdSource
  /** Names this node; the same after a restart on the same data folder. */
  readonly nodeId: string
  /**
   * This node's store has no other client (the embedded node, whose folder is locked): whoever held the lease before
   * is gone, and nobody can take it away, so it is neither waited for nor renewed.
   */
  readonly exclusive: boolean
  readonly onError: (error: Error) => void
}

export const leaseTermMs = 10_000
const renewEveryMs = leaseTermMs / 4
const watchEveryMs = 1_000

/**
 * Waits for the lease, runs `act` while it is held, and starts over when it is lost, until `signal` ends it.
 * `act` gets the epoch for its acts and a signal that is aborted before anybody else can hold the lease: time is
 * measured on the monotonic clock, from before each renewal was sent.
 */
export async function keepLease(
  parts: LeaseParts,
  signal: AbortSignal,
  act: (epoch: number, held: AbortSignal) => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    const epoch = await takeLease(parts, signal)
    if (epoch === null) return
    const lost = new AbortController()
    const held = AbortSignal.any([signal, lost.signal])
    const renewing = parts.exclusive ? Promise.resolve() : renewUntilLost(parts, epoch, held).then(() => lost.abort())
    await act(epoch, held)
    lost.abort()
    await renewing
    await quietly(parts, () => send(parts, {type: 'ReleaseLease', holder: parts.nodeId, epoch}))
  }
}

async function takeLease(parts: LeaseParts, signal: AbortSignal): Promise<number | null> {
  const {handler, clock, timers, nodeId, exclusive} = parts
  let seen: LeaseState | null = null
  let seenAtMs = clock.monotonicMs()
  while (!signal.aborted) {
    const now = await quietly(parts, () => handler.load(lease, leaseStream))
    if (now !== null) {
      if (seen === null || seen.epoch !== now.epoch || seen.renewals !== now.renewals) {
        seen = now
        seenAtMs = clock.monotonicMs()
      }
      const free = now.holder === null || now.holder === nodeId || exclusive
      if (free || clock.monotonicMs() - seenAtMs > leaseTermMs) {
        const taken = await quietly(parts, () => send(parts, {type: 'TakeLease', holder: nodeId, seen: now}))
        if (taken?.ok === true) return taken.state.epoch
      }
    }
    await timers.sleep(watchEveryMs, signal)
  }
  return null
}

/** Resolves when the lease must be taken as lost. */
async function renewUntilLost(parts: LeaseParts, epoch: number, held: AbortSignal): Promise<void> {
  const {clock, timers, nodeId} = parts
  let goodUntilMs = clock.monotonicMs() + leaseTermMs
  while (!held.aborted) {
    await timers.sleep(Math.max(0, Math.min(renewEveryMs, goodUntilMs - clock.monotonicMs())), held)
    const sentAtMs = clock.monotonicMs()
    if (sentAtMs >= goodUntilMs || held.aborted) return
    const renewal = quietly(parts, () => send(parts, {type: 'RenewLease', holder: nodeId, epoch}))
    const renewed = await Promise.race([renewal, timers.sleep(goodUntilMs - sentAtMs, held).then(() => null)])
    if (renewed?.ok === true) goodUntilMs = sentAtMs + leaseTermMs
    if (renewed?.ok === false) return
  }
}

function send(parts: LeaseParts, command: LeaseCommand) {
  const commandId = derivedCommandId(command.type, parts.ids.uuid())
  const meta: CommandMeta = {commandId, correlationId: commandId, actor: {type: 'process', name: 'lease'}}
  return parts.handler.handle(lease, leaseStream, command, meta)
}

async function quietly<Value>(parts: LeaseParts, work: () => Promise<Value>): Promise<Value | null> {
  try {
    return await work()
  } catch (error) {
    parts.onError(error as Error)
    return null
  }
}
