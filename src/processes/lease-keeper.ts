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
  /** How long the lease lasts without a renewal; the same on every node. 10 s unless told. */
  readonly termMs?: number
  readonly onError: (error: Error) => void
}

/** What whoever acts under the lease carries along. */
export interface HeldLease {
  /** Goes into what is written about machines: a lower one is refused once a higher one was written. */
  readonly epoch: number
  /** Aborted when the lease is lost or the node stops. */
  readonly held: AbortSignal
  /**
   * Whether nobody else can hold it at this moment, by the clock. To be asked before every act on the world: a program
   * that stood still may come back to what it was doing before its timers have told it that its time is over.
   */
  isHeld(): boolean
}

export const leaseTermMs = 10_000
const renewalsPerTerm = 4
const watchesPerTerm = 10
/** What failed may work a moment later, and the work waits. */
const retryMs = 1_000

/**
 * Waits for the lease, runs `act` while it is held, and starts over when it is lost, until `signal` ends it. The lease
 * is lost to `act` before anybody else can hold it: time is measured on the monotonic clock, from before the taking and
 * each renewal were sent.
 */
export async function keepLease(
  parts: LeaseParts,
  signal: AbortSignal,
  act: (lease: HeldLease) => Promise<void>,
): Promise<void> {
  const {clock, nodeId, exclusive} = parts
  while (!signal.aborted) {
    const taken = await takeLease(parts, signal)
    if (taken === null) return
    const lost = new AbortController()
    const held = AbortSignal.any([signal, lost.signal])
    const isHeld = (): boolean => !held.aborted && (exclusive || clock.monotonicMs() < taken.goodUntilMs)
    const renewing = exclusive ? Promise.resolve() : renewUntilLost(parts, taken, held).then(() => lost.abort())
    try {
      await act({epoch: taken.epoch, held, isHeld})
    } finally {
      // Also when it failed: a lease that is kept without anybody acting under it would stop all nodes.
      lost.abort()
      await renewing
      await quietly(parts, () => send(parts, {type: 'ReleaseLease', holder: nodeId, epoch: taken.epoch}))
    }
  }
}

interface TakenLease {
  readonly epoch: number
  /** On the monotonic clock; moves with every renewal. */
  goodUntilMs: number
}

async function takeLease(parts: LeaseParts, signal: AbortSignal): Promise<TakenLease | null> {
  const {handler, clock, timers, nodeId, exclusive, termMs = leaseTermMs} = parts
  let seen: LeaseState | null = null
  let seenAtMs = clock.monotonicMs()
  while (!signal.aborted) {
    const now = await quietly(parts, () => handler.load(lease, leaseStream))
    let wasAnswered = now !== null
    if (now !== null) {
      if (seen === null || seen.epoch !== now.epoch || seen.renewals !== now.renewals) {
        seen = now
        seenAtMs = clock.monotonicMs()
      }
      const free = now.holder === null || now.holder === nodeId || exclusive
      if (free || clock.monotonicMs() - seenAtMs > termMs) {
        const goodUntilMs = clock.monotonicMs() + termMs
        const taken = await quietly(parts, () => send(parts, {type: 'TakeLease', holder: nodeId, seen: now}))
        if (taken?.ok === true) return {epoch: taken.state.epoch, goodUntilMs}
        wasAnswered = taken !== null
      }
    }
    const watchMs = termMs / watchesPerTerm
    await timers.sleep(wasAnswered ? watchMs : Math.min(watchMs, retryMs), signal)
  }
  return null
}

/** Resolves when the lease must be taken as lost. */
async function renewUntilLost(parts: LeaseParts, taken: TakenLease, held: AbortSignal): Promise<void> {
  const {clock, timers, nodeId, termMs = leaseTermMs} = parts
  const {epoch} = taken
  while (!held.aborted) {
    await timers.sleep(Math.max(0, Math.min(termMs / renewalsPerTerm, taken.goodUntilMs - clock.monotonicMs())), held)
    const sentAtMs = clock.monotonicMs()
    if (sentAtMs >= taken.goodUntilMs || held.aborted) return
    const renewal = quietly(parts, () => send(parts, {type: 'RenewLease', holder: nodeId, epoch}))
    const renewed = await Promise.race([renewal, timers.sleep(taken.goodUntilMs - sentAtMs, held).then(() => null)])
    if (renewed?.ok === true) taken.goodUntilMs = sentAtMs + termMs
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
