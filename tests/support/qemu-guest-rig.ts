import {readFile, readdir, rm} from 'node:fs/promises'
import {join} from 'node:path'
import {setTimeout as delay} from 'node:timers/promises'
import {machineFiles} from '../../src/drivers/qemu-config.ts'
import {qemuKind} from '../../src/drivers/qemu.ts'
import type {DriverRig} from '../contract/driver-contract.ts'
import {buildGuest, shortRunDir} from './qemu-guest.ts'

export interface QemuRig extends DriverRig {
  readonly runDir: string
  /** The process ids that /proc shows for a machine. */
  pidsOf(machineId: string): Promise<readonly number[]>
  /** Where the guest's latest run is written down. Throws when it never ran. */
  logPathOf(machineId: string): Promise<string>
  /** What the guest itself printed in its latest run. */
  consoleOf(machineId: string): Promise<string>
}

/** Real guests in a run folder of their own. `close` leaves no process and no file behind, whatever the tests did. */
export async function qemuRig(): Promise<QemuRig> {
  const guest = await buildGuest()
  const runDir = await shortRunDir()
  let machines = 0
  // Hostile on purpose: nothing of an id may ever mean something to a shell, to QEMU or in a path.
  const idOf = (number: number) => `../machine-${number}; touch /tmp/hostile,id=x "$(id)"`
  const pidsOf = (machineId: string) => pidsWith(machineFiles(runDir, machineId).pid)
  const logPathOf = (machineId: string) => latestLog(runDir, machineFiles(runDir, machineId).key)
  const consoleOf = async (machineId: string) =>
    (await readFile(await logPathOf(machineId), 'utf8')).replaceAll('\r', '')
  return {
    kind: qemuKind(),
    config: {kernel: guest.kernel, initrd: guest.initrd, memoryMiB: 128, runDir},
    runDir,
    newMachineId: () => idOf((machines += 1)),
    pidsOf,
    logPathOf,
    consoleOf,
    runningCount: async machineId => (await pidsOf(machineId)).length,
    readyCount: async machineId => (await consoleOf(machineId)).match(/^READY /gm)?.length ?? 0,
    pass: () => delay(50),
    looksMax: 400,
    testimony: async () => {
      const machineId = idOf(machines)
      return `processes ${String(await pidsOf(machineId))}, console ${JSON.stringify(await consoleOf(machineId))}`
    },
    close: async () => {
      for (const pid of await pidsWith(`${runDir}/`)) process.kill(pid, 'SIGKILL')
      await rm(runDir, {recursive: true, force: true})
    },
  }
}

/** Processes with a command line that mentions the text. A zombie has no command line. */
async function pidsWith(text: string): Promise<readonly number[]> {
  const pids: number[] = []
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry) || entry === String(process.pid)) continue
    const commandLine = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')
    if (commandLine.includes(text)) pids.push(Number(entry))
  }
  return pids
}

async function latestLog(runDir: string, key: string): Promise<string> {
  const logs = (await readdir(runDir)).filter(name => name.startsWith(key) && name.endsWith('.log')).sort()
  const last = logs.at(-1)
  if (last === undefined) throw new Error('the machine never ran')
  return join(runDir, last)
}
