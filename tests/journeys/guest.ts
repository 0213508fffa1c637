import {execFile} from 'node:child_process'
import {readFile, readdir, rm, stat} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {buildGuest, shortRunDir} from '../support/qemu-guest.ts'

/** A run folder for one QEMU machine, and what the system and the machine itself say of it. Nothing here asks the program. */
export interface GuestRoom {
  /** For `registerMachine`. */
  readonly driver: {readonly kind: 'qemu'; readonly config: Readonly<Record<string, unknown>>}
  /** Processes that run the machine, by /proc. */
  pids(): Promise<readonly number[]>
  /** When a process began, in milliseconds since the epoch, by /proc. */
  startedAtMs(pid: number): Promise<number>
  /** What each run of the machine printed on its console, and when it last did. */
  consoles(): Promise<readonly {readonly lines: readonly string[]; readonly lastAtMs: number}[]>
  /** Resolves once the process is gone, and all it printed is on the disk. */
  untilGone(pid: number): Promise<void>
  /** Ends what still runs, and removes the folder. */
  close(): Promise<void>
}

const ticksPerSecond = 100

export async function guestRoom(): Promise<GuestRoom> {
  const {kernel, initrd} = await buildGuest()
  const runDir = await shortRunDir()
  const pids = (): Promise<readonly number[]> => pidsWith(`${runDir}/`)
  return {
    driver: {kind: 'qemu', config: {kernel, initrd, memoryMiB: 128, runDir}},
    pids,
    async startedAtMs(pid) {
      const [status, uptime] = await Promise.all(
        [`/proc/${pid}/stat`, '/proc/uptime'].map(path => readFile(path, 'utf8')),
      )
      // proc(5): the start, in ticks since the computer's, is field 22; the name before it may hold blanks.
      const startTicks = Number(status?.slice(status.lastIndexOf(')') + 2).split(' ')[19])
      return Date.now() - (Number(uptime?.split(' ')[0]) - startTicks / ticksPerSecond) * 1000
    },
    async consoles() {
      const logs = (await readdir(runDir)).filter(name => name.endsWith('.log')).sort()
      return Promise.all(
        logs.map(async name => {
          const text = await readFile(join(runDir, name), 'utf8')
          return {lines: text.split(/\r?\n/), lastAtMs: (await stat(join(runDir, name))).mtimeMs}
        }),
      )
    },
    async untilGone(pid) {
      await promisify(execFile)('tail', [`--pid=${pid}`, '--sleep-interval=0.1', '--follow', '/dev/null'])
    },
    async close() {
      for (const pid of await pids()) process.kill(pid, 'SIGKILL')
      await rm(runDir, {recursive: true, force: true})
    },
  }
}

/** Processes whose command line mentions the text. A zombie has no command line. */
async function pidsWith(text: string): Promise<readonly number[]> {
  const pids: number[] = []
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const commandLine = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')
    if (commandLine.includes(text)) pids.push(Number(entry))
  }
  return pids
}
