/**
 * What Hourhand asks of anything that can switch machines on and off. One file per provider implements it
 * (`simulated.ts`, `qemu.ts`, …); one contract suite (`tests/contract/driver-contract.ts`) runs against each.
 *
 * A driver's "accepted" proves nothing: only `observe` says what a machine does.
 */

/** What a driver can do beyond start, stop, kill and observe. */
export type Capability = 'reboot' | 'resources' | 'console' | 'logs' | 'backup' | 'readyProbe'

/**
 * What is known of a machine right now.
 * `unreachable` means nobody could tell: it is not `off`.
 * `ready` is true once the machine's own probe answered (for a driver without a probe: as soon as it is on).
 */
export type Observation =
  | {readonly power: 'off'}
  | {readonly power: 'on'; readonly ready: boolean}
  | {readonly power: 'unreachable'; readonly reason: string}

/** Resource use of a running machine. Bytes, percent of one core, seconds; null where the provider does not tell. */
export interface Resources {
  readonly memoryBytes: number | null
  readonly memoryLimitBytes: number | null
  readonly cpuPercent: number | null
  readonly diskBytes: number | null
  readonly networkReceivedBytes: number | null
  readonly networkSentBytes: number | null
  readonly uptimeSeconds: number | null
}

export type DriverErrorClass =
  | 'transient' // network, 5xx: try again with backoff
  | 'rateLimited' // 429: honour retryAfterMs
  | 'auth' // 401, 403: pause until the credentials change
  | 'conflict' // the machine is in a state that forbids this now
  | 'notFound' // no such machine at the provider
  | 'unsupported' // the provider cannot do this
  | 'permanent' // trying again will not help

/** The only error a driver throws. Its message names no credential and no secret. */
export class DriverError extends Error {
  override readonly name = 'DriverError'
  readonly class: DriverErrorClass
  readonly retryAfterMs: number | null
  constructor(errorClass: DriverErrorClass, message: string, retryAfterMs: number | null = null) {
    super(message)
    this.class = errorClass
    this.retryAfterMs = retryAfterMs
  }
}

/**
 * One machine as its driver sees it. Every call is bounded by `signal` and by the driver's own time-out
 * and rejects with `DriverError` only. Calls are idempotent: starting what is on and stopping what is off succeed.
 */
export interface MachineDriver {
  readonly capabilities: ReadonlySet<Capability>
  /** Asks for power on. Resolves when the request was accepted, long before the machine is ready. */
  start(signal: AbortSignal): Promise<void>
  /** Asks the guest to shut down (ACPI or the provider's like). May be lost while the guest boots: ask again. */
  stop(signal: AbortSignal): Promise<void>
  /** Takes the power away at once. */
  kill(signal: AbortSignal): Promise<void>
  observe(signal: AbortSignal): Promise<Observation>
  /**
   * Not ready until the machine has booted again.
   * @throws DriverError class `unsupported` where the capability is missing (so for all below) and `conflict` when the
   * machine is off (so for `resources` and `sendConsole`).
   */
  reboot(signal: AbortSignal): Promise<void>
  resources(signal: AbortSignal): Promise<Resources>
  /** Writes one line of 1 to 1000 printable characters to the machine's console; `permanent` for any other text. */
  sendConsole(line: string, signal: AbortSignal): Promise<void>
  /** The last lines of the console, oldest first, at most `lines` and at most 1000; also of the last run when off. */
  logs(lines: number, signal: AbortSignal): Promise<readonly string[]>
  /** Lets go of sockets and handles; the machine stays as it is. */
  close(): Promise<void>
}

/**
 * Builds drivers of one kind. `parseConfig` checks what an operator typed when registering a machine and answers the
 * stored form or the faults, field by field.
 */
export interface DriverKind {
  readonly kind: string
  parseConfig(
    input: unknown,
  ):
    | {readonly ok: true; readonly config: Readonly<Record<string, unknown>>}
    | {readonly ok: false; readonly faults: readonly {field: string; message: string}[]}
  open(machineId: string, config: Readonly<Record<string, unknown>>): MachineDriver
}
