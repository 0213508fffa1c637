import type {Role} from '../access/events.ts'
import type {CommandMeta} from '../event-store/command.ts'
import {derivedUuid, type CommandId, type UserId} from '../kernel/ids.ts'
import type {Actor} from '../kernel/messages.ts'

/** On whose behalf a request is made; the edges authenticate, nothing here does. */
export interface Caller {
  readonly userId: UserId
  readonly roles: readonly Role[]
  /** Ties all that follows from one request together, in events and logs. */
  readonly requestId: string
  /** When the request may have arrived, at the earliest: see `CommandMeta`. Absent: it is no request of a person's. */
  readonly arrivedAtMs?: number | undefined
}

/**
 * The answer to a command: what came of it, or why it was refused. `reached`: up to where a read model must have folded
 * to show what the answer rests upon, be it written by this command or long before; null or absent: nothing of its own.
 */
export type Answer<Value, Refusal> =
  | {readonly ok: true; readonly value: Value; readonly reached: bigint | null}
  | {readonly ok: false; readonly refusal: Refusal | CallerRefusal; readonly reached?: bigint | null}

/** Refusals any command can meet. */
export type CallerRefusal =
  | {readonly type: 'Forbidden'; readonly needs: Role}
  | {readonly type: 'IdempotencyKeyReused'; readonly field: 'idempotencyKey'}

/** Owners may do what operators may. */
export function hasRole(caller: Caller, role: Role): boolean {
  return caller.roles.includes(role) || (role === 'operator' && caller.roles.includes('owner'))
}

/** The command's id follows from who sends it and the key it was sent under: a repeat is the same command. */
export function commandIdOf(caller: Caller, kind: string, idempotencyKey: string): CommandId {
  return derivedUuid(kind, caller.userId, idempotencyKey) as CommandId
}

export function causeOf(caller: Caller): {readonly correlationId: string; readonly actor: Actor} {
  return {correlationId: caller.requestId, actor: {type: 'user', userId: caller.userId}}
}

/** Of what a request begins with: it is begun only while the caller can still be waiting. */
export function metaOf(caller: Caller, commandId: CommandId): CommandMeta {
  return {...causeOf(caller), commandId, arrivedAtMs: caller.arrivedAtMs}
}

/** Of what follows from it: once begun, it is brought to its end, whoever waits. */
export function followUpMetaOf(caller: Caller, commandId: CommandId): CommandMeta {
  return {...causeOf(caller), commandId}
}
