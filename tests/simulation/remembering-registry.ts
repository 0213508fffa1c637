import type {RecordedEvent} from '../../src/event-store/port.ts'
import {createRegistry, type Registry} from '../../src/event-store/registry.ts'
import {allEventTypes} from '../../src/event-types.ts'
import type {StoredEvent} from '../../src/kernel/messages.ts'

/** Beside what was recorded, so that nobody has to look for it. */
const read = Symbol('read')

/** The registry of all programs of a simulation: it reads each event once, however often it is folded. */
export function rememberingRegistry(): Registry {
  const registry = createRegistry(...allEventTypes)
  return {
    ...registry,
    fromStored(recorded: RecordedEvent & {[read]?: StoredEvent}) {
      recorded[read] ??= registry.fromStored(recorded)
      return recorded[read]
    },
  }
}
