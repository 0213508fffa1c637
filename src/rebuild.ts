import {resolve, join} from 'node:path'
import {allProjections} from '../projections/all.ts'
import {discardReadModels} from '../projections/models-file.ts'
import {startProjections} from '../projections/runner.ts'
import type {Config} from './config.ts'
import {createRegistry} from './event-store/registry.ts'
import {allEventTypes} from './event-types.ts'
import {openStore} from './node.ts'
import {systemClock, systemTimers} from './system.ts'

/** Throws the read models away and folds them again from the whole log. The node must not be running. */
export async function rebuildReadModels(config: Config, say: (line: string) => void): Promise<void> {
  const dataFolder = resolve(config.dataFolder)
  const file = join(dataFolder, 'read-models.sqlite')
  const opened = await openStore(config, dataFolder)
  try {
    discardReadModels(file)
    let events = 0
    const projections = startProjections({
      store: opened.store,
      registry: createRegistry(...allEventTypes),
      clock: systemClock,
      timers: systemTimers,
      projections: allProjections,
      file,
      onLost: error => say(`waiting for the event store: ${error.message}`),
      onHalted: (name, error) => say(`read model ${name} stopped: ${error.message}`),
    })
    projections.onBatch(batch => {
      events += batch.length
    })
    await projections.caughtUp
    const halted = projections.halted()
    await projections.stop()
    if (halted.length > 0) throw new Error(`${halted.length} read models could not be rebuilt`)
    say(`rebuilt ${allProjections.length} read models from ${events} events`)
  } finally {
    await opened.store.close()
    await opened.close()
  }
}
