import {stat} from 'node:fs/promises'
import {z} from 'zod'
import type {Resources} from './port.ts'
import {DriverError} from './port.ts'
import type {QemuConfig} from './qemu-config.ts'
import {processUse, type ProcessUse, type QemuProcess} from './qemu-process.ts'
import type {QmpSession} from './qmp.ts'

/** Reads the use of a process; keeps the last reading, so that the next says what the processor did in between. */
export type ResourceMeter = (process: QemuProcess, session: QmpSession) => Promise<Resources>

export function resourceMeter(config: QemuConfig): ResourceMeter {
  let last: {readonly pid: number; readonly use: ProcessUse} | null = null
  return async ({pid}, session) => {
    const use = await processUse(pid)
    if (use === null) throw new DriverError('conflict', 'the machine is off')
    const earlier = last?.pid === pid && use.uptimeSeconds - last.use.uptimeSeconds >= 1 ? last.use : null
    if (earlier !== null || last?.pid !== pid) last = {pid, use}
    return {
      memoryBytes: (await guestMemoryBytes(session)) ?? use.residentBytes,
      memoryLimitBytes: config.memoryMiB * 1024 * 1024,
      cpuPercent: cpuPercent(use, earlier ?? {cpuSeconds: 0, uptimeSeconds: 0}),
      diskBytes: config.disk === undefined ? null : await allocatedBytes(config.disk),
      networkReceivedBytes: null,
      networkSentBytes: null,
      uptimeSeconds: Math.floor(use.uptimeSeconds),
    }
  }
}

function cpuPercent(now: ProcessUse, before: Pick<ProcessUse, 'cpuSeconds' | 'uptimeSeconds'>): number | null {
  const seconds = now.uptimeSeconds - before.uptimeSeconds
  if (seconds <= 0) return null
  return Math.round(((now.cpuSeconds - before.cpuSeconds) / seconds) * 1000) / 10
}

const balloonStatistics = z.object({
  'last-update': z.number(),
  stats: z.object({'stat-total-memory': z.number(), 'stat-available-memory': z.number()}),
})

/** What the guest says it uses, through its memory balloon; null when it has no balloon driver or has not told yet. */
async function guestMemoryBytes(session: QmpSession): Promise<number | null> {
  const answer = await session.execute('qom-get', {path: '/machine/peripheral/balloon', property: 'guest-stats'})
  const parsed = balloonStatistics.safeParse(answer)
  if (!parsed.success || parsed.data['last-update'] === 0) return null
  const total = parsed.data.stats['stat-total-memory']
  const available = parsed.data.stats['stat-available-memory']
  return total > 0 && available >= 0 && available <= total ? total - available : null
}

/** What the image takes on the host's disk, which for qcow2 grows with use. */
async function allocatedBytes(path: string): Promise<number | null> {
  try {
    return (await stat(path)).blocks * 512
  } catch {
    // The machine runs on with a disk that was renamed; its size is then merely unknown.
    return null
  }
}
