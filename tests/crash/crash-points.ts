/**
 * The named places of the program where tests let it die. The program knows nothing of them: each is a text of its source,
 * and the preload (`preload.ts`) plants the end of the process before or after that text when the file is loaded.
 */
export interface CrashPoint {
  readonly name: string
  readonly file: string
  /** One whole statement or the beginning of one, found exactly once in the file; a test sees to it. */
  readonly text: string
  readonly where: 'before' | 'after'
  /** The program dies at one of the first so many passes: more where the place is passed often. */
  readonly passesMax: number
  /** Changes to sources that make a rare place common. */
  readonly also?: readonly Replacement[]
}

export interface Replacement {
  readonly file: string
  readonly text: string
  readonly by: string
}

/** The statement, and the file it is in. */
type Place = Pick<CrashPoint, 'file' | 'text'>

const around = (name: string, place: Place, passesMax: number): readonly CrashPoint[] => [
  {name: `before ${name}`, ...place, where: 'before', passesMax},
  {name: `after ${name}`, ...place, where: 'after', passesMax},
]

const bookSlot = (text: string): Place => ({file: 'src/processes/book-slot.ts', text})
const steps = (text: string): Place => ({file: 'src/processes/steps.ts', text})
const worker = (text: string): Place => ({file: 'src/processes/machine-worker.ts', text})
const drivers = (text: string): Place => ({file: 'src/processes/driver-calls.ts', text})
const shop = (text: string): Place => ({file: 'src/processes/shop.ts', text})
const lane = (text: string): Place => ({file: 'src/event-store/lane.ts', text})
const readModels = (text: string): Place => ({file: 'projections/read-models.ts', text})
const log = (text: string): Place => ({file: 'src/embedded-node/write-transaction.ts', text})
const group = (text: string): Place => ({file: 'src/embedded-node/group-commit.ts', text})

/** A log is moved into its main file every 16 MiB: a round of a crash test is too short for that. */
const frequentCheckpoints: readonly Replacement[] = [
  {
    file: 'src/embedded-node/store.ts',
    text: 'const CHECKPOINT_EVERY_BYTES = 16 * 1024 * 1024',
    by: 'const CHECKPOINT_EVERY_BYTES = 16 * 1024',
  },
]

export const crashPoints: readonly CrashPoint[] = [
  ...around(
    'the hold of a booking',
    bookSlot("const held = await handler.handle(account, accountStream(userId), hold, {...meta('hold'), arrivedAtMs})"),
    12,
  ),
  {
    ...bookSlot('const slot = await handler.handle(calendar, calendarStream(poolId), allocate'),
    name: 'before the allocation of a slot',
    where: 'before',
    passesMax: 12,
  },
  {
    ...bookSlot('const refusal = declinedBecause(slot.state, bookingId)'),
    name: 'after the allocation of a slot',
    where: 'before',
    passesMax: 12,
  },
  ...around(
    'the release of a declined hold',
    bookSlot("const released = await handler.handle(account, accountStream(userId), release, meta('release'))"),
    2,
  ),
  ...around(
    'the confirmation of a booking',
    bookSlot(
      "const confirmed = await handler.handle(booking, bookingStream(bookingId), confirm, meta('confirm'), {isNew: true})",
    ),
    8,
  ),
  ...around(
    'the settlement of a hold',
    steps('const settled = await handler.handle(account, accountStream(userId), command, meta)'),
    2,
  ),
  ...around(
    'the return of a slot',
    steps('const freed = await handler.handle(calendar, calendarStream(poolId), command, meta)'),
    2,
  ),
  ...around(
    'the start or end of a session',
    steps('const done = await handler.handle(booking, bookingStream(bookingId), commandOf(step), meta)'),
    2,
  ),
  {
    file: 'src/dispatch/purchases.ts',
    text: 'const paid = answerOf(await handler.handle(purchase, stream, command, metaOf(caller, commandId)))',
    name: 'after a payment was received',
    where: 'after',
    passesMax: 3,
  },
  ...around(
    'the grant of a purchase',
    shop("const granted = await handler.handle(account, accountStream(userId), grant, meta('grant'))"),
    3,
  ),
  ...around(
    'the fulfilment of a purchase',
    shop("const done = await handler.handle(purchase, purchaseStream(purchaseId), fulfil, meta('fulfil'))"),
    3,
  ),
  {
    ...worker('const looked = await send(handler, machineId, look, powerCommandId, lease)'),
    name: 'before the intent of a power command',
    where: 'before',
    passesMax: 2,
  },
  {
    ...worker('if (!isDue || driver === null)'),
    name: 'after what a look showed was written, a planned command perhaps',
    where: 'before',
    passesMax: 6,
  },
  {
    ...worker('if (!lease.isHeld()) return unknown(commit)'),
    name: 'after the intent of a power command',
    where: 'before',
    passesMax: 2,
  },
  {
    ...drivers('await bounded(parts.timers, callTimeoutMs'),
    name: 'before a driver call',
    where: 'before',
    passesMax: 2,
  },
  {
    ...drivers("return {type: 'AcceptPowerCommand', powerCommandId}"),
    name: 'after a driver call',
    where: 'before',
    passesMax: 2,
  },
  {
    ...worker('if (!settled.ok || settled.state === null)'),
    name: 'after the result of a power command',
    where: 'before',
    passesMax: 2,
  },
  {
    file: 'src/processes/lease-keeper.ts',
    text: 'if (taken?.ok === true) return {epoch',
    name: 'after the lease was taken',
    where: 'before',
    passesMax: 1,
  },
  ...around('an append', lane('const {revision, position} = await store.append(stream, expected, events)'), 60),
  ...around('the commit of read models', readModels('statements.commit.run()'), 30),
  ...around('the commit of a group', log("log.db.exec('COMMIT')"), 60),
  {
    ...group('if (outcome !== undefined) queued.settle(outcome)'),
    name: 'before the answers of a group',
    where: 'before',
    passesMax: 60,
  },
  {
    ...group('hooks.committed(committed.events)'),
    name: 'after the answers of a group',
    where: 'before',
    passesMax: 60,
  },
  ...around(
    'a checkpoint of the log',
    {file: 'src/embedded-node/store.ts', text: "db.exec('PRAGMA wal_checkpoint(PASSIVE)')"},
    4,
  ).map(point => ({...point, also: frequentCheckpoints})),
]

export function crashPointOf(name: string): CrashPoint {
  const found = crashPoints.find(point => point.name === name)
  if (found === undefined) throw new Error(`there is no crash point "${name}"`)
  return found
}

/** The source with the call at the point planted; other files as they are. `path` ends with the file's own. */
export function planted(point: CrashPoint, path: string, source: string, call: string): string {
  const text = replaced(point.also ?? [], path, source)
  if (!path.endsWith(point.file)) return text
  const at = text.indexOf(onceIn(text, point.text, point.file)) + (point.where === 'after' ? point.text.length : 0)
  return `${text.slice(0, at)}; ${call}; ${text.slice(at)}`
}

/** The source with all replacements that are for this file. */
export function replaced(replacements: readonly Replacement[], path: string, source: string): string {
  let text = source
  for (const {file, text: from, by} of replacements) {
    if (path.endsWith(file)) text = text.replace(onceIn(text, from, file), () => by)
  }
  return text
}

function onceIn(source: string, text: string, file: string): string {
  const count = source.split(text).length - 1
  if (count !== 1) throw new Error(`${file} holds this ${count} times, not once: ${text}`)
  return text
}
