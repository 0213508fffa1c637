import type {RecordedEvent} from '../../src/event-store/port.ts'
import type {Memory} from './acts.ts'
import type {Report} from '../../src/verify/rule.ts'

/** What somebody was told is done is in the log, with the id they were told. */
export function checkAcknowledged(memory: Memory, log: readonly RecordedEvent[], report: Report): void {
  const written = new Set<string>()
  for (const {stream, type, data} of log) {
    written.add(`${stream} ${type} `)
    if (type === 'HoursGranted') written.add(`${stream} ${type} ${(data as {grantId: string}).grantId}`)
  }
  for (const {stream, type, naming = ''} of memory.acknowledged) {
    if (written.has(`${stream} ${type} ${naming}`)) continue
    report(`${type} ${naming} of ${stream} was acknowledged and is not in the log`)
  }
}
