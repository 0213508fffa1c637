import {readFile, readdir} from 'node:fs/promises'
import {setTimeout as delay} from 'node:timers/promises'
import type {MachineFiles} from './qemu-config.ts'

/** A living QEMU that belongs to a machine. */
export interface QemuProcess {
  readonly pid: number
  /** The console log of this very run, as its command line says. */
  readonly logPath: string
}

/**
 * The first arguments of every QEMU we start. They stand at fixed places because they are how a process is known again,
 * also after a restart of this program, and no configured text can get in front of them.
 */
export function identifyingArguments(files: MachineFiles, logPath: string): readonly string[] {
  return ['-pidfile', files.pid, '-chardev', `${consolePrefix(files)}${logPath}`]
}

/**
 * The machine's process, or null when it is off. A pidfile alone proves nothing, since a killed QEMU leaves it behind and
 * its number is used again; a missing one proves nothing either, since a temporary folder may be swept. What counts is the
 * command line in /proc. A zombie has none and is off.
 */
export async function findProcess(files: MachineFiles): Promise<QemuProcess | null> {
  const pid = await pidOfFile(files.pid)
  const named = pid === null ? null : await processAt(pid, files)
  return named ?? (await findProcesses(files))[0] ?? null
}

/** Every process of the machine: while QEMU goes into the background there are two for a moment. */
export async function findProcesses(files: MachineFiles): Promise<readonly QemuProcess[]> {
  const found: QemuProcess[] = []
  for (const entry of await readdir('/proc')) {
    const process = /^[1-9]\d*$/.test(entry) ? await processAt(Number(entry), files) : null
    if (process !== null) found.push(process)
  }
  return found
}

/** Waits until the machine has no process any more. False when it still has one after `timeoutMs`. */
export async function waitUntilGone(files: MachineFiles, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
  const givenUpAtMs = performance.now() + timeoutMs
  while ((await findProcess(files)) !== null) {
    if (performance.now() >= givenUpAtMs) return false
    await delay(10, undefined, {signal})
  }
  return true
}

/** Sends SIGKILL to whatever still belongs to the machine; looks at the command line again right before. */
export async function killProcesses(files: MachineFiles): Promise<void> {
  for (const {pid} of await findProcesses(files)) {
    if ((await processAt(pid, files)) === null) continue
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}

export interface ProcessUse {
  readonly residentBytes: number
  readonly cpuSeconds: number
  readonly uptimeSeconds: number
}

/** Memory, processor time and age of a process, from /proc (proc(5)); null when it just ended. */
export async function processUse(pid: number): Promise<ProcessUse | null> {
  const [stat, statm, uptime] = await Promise.all(
    [`/proc/${pid}/stat`, `/proc/${pid}/statm`, '/proc/uptime'].map(readIfThere),
  )
  if (!stat || !statm || !uptime) return null
  // The name in parentheses may hold anything, so count from the last one: what follows begins with field 3.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
  const ticksPerSecond = 100
  const pageBytes = 4096
  return {
    residentBytes: Number(statm.split(' ')[1]) * pageBytes,
    cpuSeconds: ((fields[11] ?? 0) + (fields[12] ?? 0)) / ticksPerSecond,
    uptimeSeconds: Math.max(0, Number(uptime.split(' ')[0]) - (fields[19] ?? 0) / ticksPerSecond),
  }
}

async function processAt(pid: number, files: MachineFiles): Promise<QemuProcess | null> {
  const commandLine = await readIfThere(`/proc/${pid}/cmdline`)
  if (commandLine === null) return null
  const [, flag, pidPath, chardev, console] = commandLine.split('\0')
  const prefix = consolePrefix(files)
  if (flag !== '-pidfile' || pidPath !== files.pid || chardev !== '-chardev') return null
  return console?.startsWith(prefix) ? {pid, logPath: console.slice(prefix.length)} : null
}

function consolePrefix(files: MachineFiles): string {
  return `socket,id=console,path=${files.console},server=on,wait=off,logappend=on,logfile=`
}

async function pidOfFile(path: string): Promise<number | null> {
  const text = await readIfThere(path)
  const match = /^([1-9]\d{0,9})\n?$/.exec(text ?? '')
  return match === null ? null : Number(match[1])
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    // ESRCH: the process ended between opening and reading.
    if (['ENOENT', 'ESRCH', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}
