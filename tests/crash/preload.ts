/**
 * Loaded into the real program before its own first line (`NODE_OPTIONS=--import`), also into the thread of the embedded
 * node. What it does is told by the environment, in `Preloaded`; without that it does nothing.
 */
import {readFileSync} from 'node:fs'
import {registerHooks} from 'node:module'
import {isMainThread} from 'node:worker_threads'
import {crashPointOf, planted, replaced, type Replacement} from './crash-points.ts'

/** The value of `CRASH_TEST`, as JSON. */
export interface Preloaded {
  /** Dies, or stands still until it is told to go on, at the n-th pass of the point. */
  readonly dieAt?: {readonly point: string; readonly pass: number; readonly how?: 'SIGKILL' | 'SIGSTOP'}
  /** How far the wall clock is ahead of the machine's. */
  readonly clockAheadMs?: number
  /** Guards taken out on purpose, to see that a run finds out. */
  readonly bugs?: readonly Replacement[]
  /** Where machines are that outlive the program: they take the place of the simulated ones in its memory. */
  readonly parkUrl?: string
  /** What this node is called there. */
  readonly node?: string
}

const {dieAt, clockAheadMs = 0, bugs = [], parkUrl} = JSON.parse(process.env['CRASH_TEST'] ?? '{}') as Preloaded

if (isMainThread) {
  // Nobody is left to end it when the tests were killed themselves.
  const parent = process.ppid
  setInterval(() => {
    if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL')
  }, 1000).unref()
}
if (clockAheadMs !== 0) globalThis.Date = dateAhead(clockAheadMs)
if (dieAt !== undefined || bugs.length > 0) {
  const point = dieAt === undefined ? null : crashPointOf(dieAt.point)
  let passes = 0
  Object.assign(globalThis, {
    passCrashPoint(): void {
      // The system ends or stops the process before this call returns.
      if (++passes === dieAt?.pass) process.kill(process.pid, dieAt.how ?? 'SIGKILL')
    },
  })
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context)
      if (!url.startsWith('file:') || url.includes('/node_modules/')) return loaded
      const {pathname} = new URL(url)
      const given = loaded.source ?? readFileSync(pathname)
      const source = replaced(bugs, pathname, typeof given === 'string' ? given : new TextDecoder().decode(given))
      if (point === null) return {...loaded, source}
      return {...loaded, source: planted(point, pathname, source, 'globalThis.passCrashPoint()')}
    },
  })
}
if (parkUrl !== undefined) {
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === './drivers/simulated.ts' && context.parentURL?.endsWith('/src/node.ts') === true
        ? next(new URL('./park-driver.ts', import.meta.url).href, context)
        : next(specifier, context),
  })
}

function dateAhead(aheadMs: number): DateConstructor {
  const RealDate = Date
  return new Proxy(RealDate, {
    construct: (target, given: readonly unknown[], newTarget) =>
      Reflect.construct(target, given.length === 0 ? [RealDate.now() + aheadMs] : given, newTarget) as Date,
    get: (target, name, receiver) =>
      name === 'now' ? () => RealDate.now() + aheadMs : (Reflect.get(target, name, receiver) as unknown),
  })
}
