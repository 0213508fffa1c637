import type {RecordedEvent} from '../../src/event-store/port.ts'
import {createRegistry, type Registry} from '../../src/event-store/registry.ts'
import {allEventTypes} from '../../src/event-types.ts'
import type {StoredEvent} from '../../src/kernel/messages.ts'

/** The registry of all programs of a simulation: it reads each event once, however often it is folded. */
export function rememberingRegistry(): Registry {
  const registry = createRegistry(...allEventTypes)
  const read = new WeakMap<RecordedEvent, StoredEvent>()
  return {
    ...registry,
    fromStored(recorded) {
      const known = read.get(recorded)
      if (known !== undefined) return known
      const stored = registry.fromStored(recorded)
      read.set(recorded, stored)
      return stored
    },
  }
}
