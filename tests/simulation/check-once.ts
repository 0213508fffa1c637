import type {RecordedEvent} from '../../src/event-store/port.ts'
import type {Report} from '../../src/verify/rule.ts'

/**
 * Whatever was sent is in the log at most once: no event twice, and of one person's command on one stream the events of
 * one append only, however often it was sent and whoever took it.
 */
export function checkOnce(report: Report): {see(recorded: RecordedEvent, appendNumber: number): void} {
  const ids = new Set<string>()
  const commands = new Map<string, number>()
  return {
    see({id, type, stream, metadata}, appendNumber) {
      if (ids.has(id)) report(`event ${id} is in the log twice`)
      ids.add(id)
      const {$causationId, actor} = metadata as {$causationId: string; actor: {type: string}}
      if (actor.type === 'process') return
      const key = `${$causationId} ${stream}`
      const known = commands.get(key)
      if (known !== undefined && known !== appendNumber) report(`${type} of ${stream} comes of a command sent twice`)
      commands.set(key, appendNumber)
    },
  }
}
