import {allProjections} from '../../projections/all.ts'
import {startProjections} from '../../projections/runner.ts'
import {createRegistry} from '../../src/event-store/registry.ts'
import {allEventTypes} from '../../src/event-types.ts'
import {rowsOf, type Rows} from '../projections/support.ts'
import type {Crew} from './crew.ts'
import {paceOf} from './node.ts'
import type {Report} from '../../src/verify/rule.ts'
import type {SimulatedStore} from './store.ts'
import {newLife, timersOf, type VirtualTime} from './virtual-time.ts'

export interface Comparison {
  readonly time: VirtualTime
  readonly store: SimulatedStore
  readonly crew: Crew
  readonly run: (limitElapsedMs: number, isDone: () => boolean) => Promise<void>
  readonly report: Report
}

/** Longer than anything keeps a node from catching up. */
const catchUpMsMax = 60 * 60_000

/** The live rows against those of a fold from the start, both at the same place of the log. */
export async function compareReadModels({time, store, crew, run, report}: Comparison): Promise<void> {
  const life = newLife()
  const projections = startProjections({
    store: store.connect(life, null),
    registry: createRegistry(...allEventTypes),
    clock: time.clock,
    timers: timersOf(time, life),
    projections: allProjections,
    file: ':memory:',
    onLost: () => undefined,
    onHalted: (name, error) => report(`rebuilt read model ${name}: ${error.message}`),
    pace: paceOf(time, life),
  })
  const limitMs = time.elapsedMs() + catchUpMsMax
  const atHead = () => {
    const live = crew.anyone()?.engine.projections
    const head = BigInt(store.log.length - 1)
    return live !== undefined && live.position() === head && projections.position() === head ? live : null
  }
  await run(limitMs, () => atHead() !== null)
  const live = atHead()
  if (live !== null) {
    const different = differing(rowsOf(live.db), rowsOf(projections.db))
    if (different !== null) report(`read model ${different} differs from a rebuilt one`)
  } else if (time.elapsedMs() >= limitMs) report('the read models do not catch up')
  life.isOver = true
  projections.db.close()
}

function differing(live: Rows, rebuilt: Rows): string | null {
  for (const [table, rows] of Object.entries(live)) {
    if (JSON.stringify(rows) !== JSON.stringify(rebuilt[table])) return table
  }
  return null
}
