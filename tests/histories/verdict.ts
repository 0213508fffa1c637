import {check, type Verdict} from './checker.ts'
import {cancelledIn, type History} from './history.ts'
import {objectsOf, type AnyObject} from './objects.ts'

export interface HistoryVerdict {
  readonly objects: number
  readonly operations: number
  readonly open: number
  readonly configurations: number
  /** For people: which object, how far it can be explained, and what then could not come. */
  readonly violations: readonly string[]
}

export function judge(history: History): HistoryVerdict {
  const objects = objectsOf(history)
  const judged = objects.map(object => ({object, verdict: checkObject(object)}))
  return {
    objects: objects.length,
    operations: history.entries.length,
    open: history.entries.filter(({answer}) => answer === null).length,
    configurations: judged.reduce((sum, {verdict}) => sum + verdict.configurations, 0),
    violations: [
      ...judged.flatMap(({object, verdict}) => (verdict.ok ? [] : [explain(object.name, verdict)])),
      ...overdue(history),
    ],
  }
}

function checkObject(object: AnyObject): Verdict {
  // One branch for each kind of state: a specification fits the operations beside it.
  const {specification, operations} = object as AnyObject & {specification: never; operations: never}
  return check(specification, operations)
}

/** At rest, nothing is left to be done: what was cancelled is settled and given back. */
function overdue({entries, seen}: History): readonly string[] {
  if (seen === null) return []
  return cancelledIn(entries).flatMap(id =>
    ['settled', 'freed']
      .filter(what => !seen.times.has(`${what} ${id}`))
      .map(what => `booking ${id} was never ${what}`),
  )
}

const shownMax = 12

function explain(name: string, {placed, stuck}: Extract<Verdict, {ok: false}>): string {
  const last = placed.slice(-shownMax).map(label => `    ${label}`)
  return [
    `${name}: no order explains what was answered. Explained up to (${placed.length}):`,
    ...last,
    '  then one of these had to come:',
    ...stuck.slice(0, 2 * shownMax).map(label => `    ${label}`),
  ].join('\n')
}
