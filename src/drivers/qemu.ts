import {checkConsoleLine} from './console-line.ts'
import {parseWith, storedConfig} from './parse-config.ts'
import type {DriverKind, MachineDriver, Observation} from './port.ts'
import {DriverError} from './port.ts'
import {machineFiles, qemuConfigSchema, type MachineFiles, type QemuConfig} from './qemu-config.ts'
import {lastLogPath, markReboot, readyProbe, tailOf, typeLine} from './qemu-console.ts'
import {launch} from './qemu-launch.ts'
import {findProcess, killProcesses, waitUntilGone, type QemuProcess} from './qemu-process.ts'
import {resourceMeter} from './qemu-resources.ts'
import {runState} from './qemu-status.ts'
import {withQmp, type QmpSession} from './qmp.ts'

/**
 * Virtual machines of this computer, one QEMU process each, spoken to over QMP. A machine runs in the background and is
 * known again by its command line, so this program can restart while machines run. The driver keeps nothing that cannot
 * be found again in /proc and in the machine's run folder. Linux only.
 */
export function qemuKind(limits: Partial<QemuLimits> = {}): DriverKind {
  const all = {...defaultLimits, ...limits}
  return {
    kind: 'qemu',
    parseConfig: input => parseWith(qemuConfigSchema, input),
    open: (machineId, config) => openDriver(machineId, storedConfig(qemuConfigSchema, 'qemu', config), all),
  }
}

export interface QemuLimits {
  /** How long QEMU may take for one exchange over its monitor, waiting for its only seat included. */
  readonly monitorTimeoutMs: number
  /** How long a process may take to end after `quit`, and again after SIGKILL. */
  readonly exitTimeoutMs: number
}

const defaultLimits: QemuLimits = {monitorTimeoutMs: 3000, exitTimeoutMs: 3000}

function openDriver(machineId: string, config: QemuConfig, limits: QemuLimits): MachineDriver {
  const files = machineFiles(config.runDir, machineId)
  const isReady = readyProbe(files, config.readyPattern)
  const meter = resourceMeter(config)
  const monitor = <T>(signal: AbortSignal, use: (session: QmpSession) => Promise<T>, timeoutMs?: number) =>
    withQmp(files.qmp, {timeoutMs: timeoutMs ?? limits.monitorTimeoutMs, signal}, use)

  return {
    capabilities: new Set(['reboot', 'resources', 'console', 'logs', 'readyProbe'] as const),
    start: signal =>
      asDriver(signal, async () => {
        if ((await findProcess(files)) === null) await launch(config, files, signal)
      }),
    stop: signal =>
      asDriver(signal, () => ifRunning(files, () => monitor(signal, session => session.execute('system_powerdown')))),
    kill: signal => asDriver(signal, () => ifRunning(files, () => takePowerAway(files, limits, signal, monitor))),
    reboot: signal =>
      asDriver(signal, async () => {
        const process = await runningProcess(files)
        await monitor(signal, async session => {
          // Marked twice: before, so that a crash in between leaves no stale readiness; after, because until the reset
          // has happened the old boot may still print its ready line.
          await markReboot(files, process)
          await session.execute('system_reset')
          await session.event('RESET')
          await markReboot(files, process)
        })
      }),
    observe: signal =>
      asDriver(signal, () =>
        observe(files, isReady, () => runState(files.hmp, {timeoutMs: limits.monitorTimeoutMs, signal}), signal),
      ),
    resources: signal =>
      asDriver(signal, async () => {
        const process = await runningProcess(files)
        return monitor(signal, session => meter(process, session))
      }),
    sendConsole: (line, signal) =>
      asDriver(signal, async () => {
        checkConsoleLine(line)
        await runningProcess(files)
        await typeLine(files, line, {timeoutMs: limits.monitorTimeoutMs, signal})
      }),
    logs: (lines, signal) =>
      asDriver(signal, async () => {
        const logPath = (await findProcess(files))?.logPath ?? (await lastLogPath(files))
        return logPath === null ? [] : tailOf(logPath, lines)
      }),
    async close() {
      // Every call hangs up by itself; nothing is held between calls.
    },
  }
}

type Monitor = <T>(signal: AbortSignal, use: (session: QmpSession) => Promise<T>, timeoutMs?: number) => Promise<T>

/** QMP `quit` lets QEMU write its disks back; what does not follow it in time is killed. */
async function takePowerAway(files: MachineFiles, limits: QemuLimits, signal: AbortSignal, monitor: Monitor) {
  try {
    await monitor(signal, session => session.execute('quit'), Math.min(1000, limits.monitorTimeoutMs))
    if (await waitUntilGone(files, limits.exitTimeoutMs, signal)) return
  } catch (error) {
    // A hung QEMU does not answer, and one that is already ending hangs up: both are what the next line is for.
    if (!(error instanceof DriverError) || signal.aborted) throw error
  }
  await killProcesses(files)
  if (await waitUntilGone(files, limits.exitTimeoutMs, signal)) return
  throw new DriverError('transient', 'the QEMU process has not ended after SIGKILL')
}

const runningStates = new Set(['running', 'debug', 'watchdog'])

async function observe(
  files: MachineFiles,
  isReady: (process: QemuProcess) => Promise<boolean>,
  state: () => Promise<string>,
  signal: AbortSignal,
): Promise<Observation> {
  const process = await findProcess(files)
  if (process === null) return {power: 'off'}
  const over = new AbortController()
  try {
    // Whoever asks a QEMU that is ending would wait for an answer in vain, so its end is an answer as well. This
    // wait is bounded by the other, which has a time-out.
    const gone = waitUntilGone(files, Infinity, AbortSignal.any([signal, over.signal]))
    const told = await Promise.race([state(), gone.then(() => null)])
    if (told === null) return {power: 'off'}
    // Paused, panicked, out of disk: such a guest has power and serves nobody.
    return {power: 'on', ready: runningStates.has(told) && (await isReady(process))}
  } catch (error) {
    if (!(error instanceof DriverError) || signal.aborted) throw error
    // An ending QEMU hangs up a little before its process is gone.
    if (await waitUntilGone(files, 500, signal)) return {power: 'off'}
    return {power: 'unreachable', reason: error.message}
  } finally {
    over.abort()
  }
}

/** Does something to a running machine; a machine that is off, or goes off meanwhile, already is what was wanted. */
async function ifRunning(files: MachineFiles, act: () => Promise<unknown>): Promise<void> {
  if ((await findProcess(files)) === null) return
  try {
    await act()
  } catch (error) {
    if ((await findProcess(files)) !== null) throw error
  }
}

async function runningProcess(files: MachineFiles): Promise<QemuProcess> {
  const process = await findProcess(files)
  if (process === null) throw new DriverError('conflict', 'the machine is off')
  return process
}

/** Makes every failure a DriverError, as the port promises. */
async function asDriver<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    signal.throwIfAborted()
    return await work()
  } catch (error) {
    if (error instanceof DriverError) throw error
    if (signal.aborted) throw new DriverError('transient', 'the call was given up')
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown'
    const forbidden = code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
    throw new DriverError(forbidden ? 'permanent' : 'transient', `the host refused (${code})`)
  }
}
