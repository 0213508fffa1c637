import {readFileSync, renameSync, writeFileSync} from 'node:fs'
import {z} from 'zod'
import type {Clock, Instant} from '../kernel/time.ts'
import {instantFromMs, msOf, parseInstant} from '../kernel/time.ts'
import type {Run} from './simulated-machine.ts'

export interface RunKeeper {
  /** Something changed: it must be on the disk before anyone is told of it. */
  readonly save: () => void
  /** Resolves when it is; null when it was. */
  readonly saving: () => Promise<void> | null
}

/** Changes of one moment, as when thousands of machines are due, go to the disk together. Without a path: nowhere. */
export function keepRuns(
  {statePath, clock}: {readonly statePath?: string; readonly clock: Clock},
  runs: () => readonly (readonly [string, Run])[],
): RunKeeper {
  let pending: PromiseWithResolvers<void> | null = null
  const write = (path: string): void => {
    const written = pending
    pending = null
    try {
      saveRuns(path, clock, runs())
      written?.resolve()
    } catch (error) {
      written?.reject(error)
    }
  }
  return {
    save() {
      if (statePath === undefined || pending !== null) return
      pending = Promise.withResolvers()
      // Whoever waits for it is told; what is only played out has nobody who does.
      pending.promise.catch(() => undefined)
      setImmediate(write, statePath)
    },
    saving: () => pending?.promise ?? null,
  }
}

/**
 * Keeps the runs of the development fleet in a JSON file. A run is timed on the monotonic clock, which begins anew with
 * the program, so the file holds wall times. Synchronous on purpose: the fleet is small, and the file always whole.
 */
function saveRuns(path: string, clock: Clock, runs: readonly (readonly [string, Run])[]): void {
  const offsetMs = msOf(clock.now()) - clock.monotonicMs()
  const wall = (ms: number | null) => (ms === null ? null : instantFromMs(Math.round(ms + offsetMs)))
  const machines = runs.map(([machineId, run]) => ({
    machineId,
    startedAt: wall(run.startedAtMs),
    readyAt: wall(run.readyAtMs),
    crashesAt: wall(run.crashesAtMs),
    ignoresStop: run.ignoresStop,
    stopsAt: wall(run.stopsAtMs),
  }))
  const draft = `${path}.new`
  writeFileSync(draft, `${JSON.stringify({version: 1, machines}, null, 2)}\n`)
  renameSync(draft, path)
}

/** The runs that were kept; none when there is no file. Throws on a file that is not ours rather than overwrite it. */
export function loadRuns(path: string, clock: Clock): readonly (readonly [string, Run])[] {
  const text = readIfThere(path)
  if (text === null) return []
  const stored = storedFleet.parse(JSON.parse(text))
  const offsetMs = msOf(clock.now()) - clock.monotonicMs()
  const monotonic = (at: Instant | null) => (at === null ? null : msOf(at) - offsetMs)
  return stored.machines.map(({machineId, startedAt, readyAt, crashesAt, ignoresStop, stopsAt}) => [
    machineId,
    {
      startedAtMs: msOf(startedAt) - offsetMs,
      readyAtMs: monotonic(readyAt),
      crashesAtMs: monotonic(crashesAt),
      ignoresStop,
      stopsAtMs: monotonic(stopsAt),
    },
  ])
}

const instant = z.string().transform((text, context): Instant => {
  const at = parseInstant(text)
  if (at !== null) return at
  context.addIssue('not an instant')
  return z.NEVER
})

const storedFleet = z.object({
  version: z.literal(1),
  machines: z.array(
    z.object({
      machineId: z.string(),
      startedAt: instant,
      readyAt: instant.nullable(),
      crashesAt: instant.nullable(),
      ignoresStop: z.boolean(),
      stopsAt: instant.nullable(),
    }),
  ),
})

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
