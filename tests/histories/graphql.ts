/** Histories through GraphQL over HTTP, of two whole programs on one store that is a server of its own. */
import {randomBytes} from 'node:crypto'
import {defaultPolicy} from '../../src/booking/policies.ts'
import {instantFromMs} from '../../src/kernel/time.ts'
import {registerUser, signInOwner, type Api} from '../journeys/api.ts'
import {diceOf} from '../simulation/dice.ts'
import {turn} from '../support/hand-clock.ts'
import {programHome, type RunningProgram} from '../support/program.ts'
import {startTestStore} from '../support/store.ts'
import {runCrowd} from './clients.ts'
import {realmOf, service, type Answered, type Door} from './door.ts'
import {createRecorder, type Answer, type Call, type History} from './history.ts'
import {poolsNamed} from './node.ts'
import type {Size} from './simulated.ts'

const hourMs = 3_600_000

export async function graphqlHistory(seed: number, {clients, callsEach}: Size): Promise<History> {
  const store = await startTestStore()
  const homes = await Promise.all([programHome(), programHome()])
  try {
    const environment = {
      EVENTSTORE_URL: `esdb://127.0.0.1:${store.node.port}?tls=false`,
      HOURHAND_TOKEN_SECRETS: `shared:${randomBytes(36).toString('base64url')}`,
      HOURHAND_MASTER_KEY: randomBytes(32).toString('base64'),
    }
    const programs: RunningProgram[] = []
    for (const home of homes) programs.push(await home.start(environment))
    const [first] = programs
    if (first === undefined) throw new Error('no program')
    const owner = await signInOwner(first)
    const pools = poolsNamed('')
    await furnish(owner, pools)
    const customers = new Map<string, Api>()
    for (const name of ['Ann', 'Bob', 'Cy', 'Dee']) {
      const customer = await registerUser(first, owner, name)
      customers.set(bareId(customer.userId ?? ''), customer)
    }
    const doors = programs.map((program, index) => graphqlDoor(`program-${index + 1}`, program.url, owner, customers))
    const position = await positionOf(owner)
    for (const {url} of programs) await send(url, owner, '{ __typename }', {}, position)
    const recorder = createRecorder()
    await runCrowd({
      scene: {
        accounts: [...customers.keys()],
        pools: Object.keys(pools),
        fromMs: Math.ceil(Date.now() / hourMs + 24) * hourMs,
        loads: false,
      },
      doors: () => doors,
      recorder,
      keyPrefix: 'key-',
      dice: diceOf(seed),
      clients,
      callsEach,
      pause: turn,
    })
    const {warmUpMinutes, turnaroundMinutes, slotStepMinutes} = defaultPolicy
    const terms = {warmUpMinutes, turnaroundMinutes, slotStepMinutes, chargePercent: 0}
    return {name: `GraphQL, seed ${seed}`, pools, ...terms, entries: recorder.entries(), seen: null}
  } finally {
    for (const home of homes) await home.close()
    await store.stop()
  }
}

const bareId = (globalId: string): string => globalId.slice(globalId.indexOf(':') + 1)

async function furnish(owner: Api, pools: Readonly<Record<string, readonly string[]>>): Promise<void> {
  for (const [poolId, machines] of Object.entries(pools)) {
    await owner.change('listRealm', {realmId: realmOf(poolId), name: poolId, poolId})
    for (const machineId of machines) {
      const place = {machineId, name: machineId, poolId, serviceIds: [service]}
      await owner.change('registerMachine', {...place, driver: {kind: 'simulated', config: {}}})
    }
  }
}

/** Where the log is after a change of the owner's. */
async function positionOf(owner: Api): Promise<bigint> {
  const realm = {realmId: 'LAST', name: 'the last one', poolId: 'last'}
  const {position} = await owner.change<{position: string}>('listRealm', realm, '... on ListRealmSuccess { position }')
  return BigInt(position)
}

type Data = Readonly<Record<string, unknown>>

/** Null: it may or may not have been done; try again. */
async function send(
  url: string,
  {token}: Api,
  query: string,
  variables: Data,
  position: bigint | null,
): Promise<Data | null> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token ?? ''}`,
      'content-type': 'application/json',
      ...(position === null ? {} : {'x-hourhand-position': String(position)}),
    },
    body: JSON.stringify({query, variables}),
  })
  type Body = {readonly data?: Data | null; readonly errors?: readonly {extensions?: {retryable?: boolean}}[]}
  const body = (await response.json()) as Body & {readonly retryable?: boolean}
  if (response.ok && body.errors === undefined && body.data !== undefined && body.data !== null) return body.data
  if (response.status === 503 || body.errors?.every(error => error.extensions?.retryable === true) === true) return null
  throw new Error(`HTTP ${response.status} ${JSON.stringify(body)}`)
}

function graphqlDoor(node: string, url: string, owner: Api, customers: ReadonlyMap<string, Api>): Door {
  const as = (account: string): Api => {
    const api = customers.get(account)
    if (api === undefined) throw new Error(`nobody is ${account}`)
    return api
  }
  const change = async (who: Api, mutation: string, input: Data, fields: string): Promise<Result | null> => {
    const name = `${mutation.charAt(0).toUpperCase()}${mutation.slice(1)}`
    const query = `mutation ($input: ${name}Input!) { result: ${mutation}(input: $input) {
      __typename ... on ${name}Success { position } ... on Refusal { position } ${fields} } }`
    return ((await send(url, who, query, {input}, null))?.['result'] as Result | undefined) ?? null
  }

  async function ask(call: Call, key: string, position: bigint | null): Promise<Answered | null> {
    switch (call.type) {
      case 'grant': {
        const gift = {idempotencyKey: key, userId: call.account, minutes: call.minutes, reason: 'history'}
        const result = await change(owner, 'grantHours', gift, '')
        return result === null ? null : answered(result, {type: 'granted'})
      }
      case 'book': {
        const {account, pool, startMs, minutes} = call
        const place = {serviceId: service, realmId: realmOf(pool), start: instantFromMs(startMs), minutes}
        const result = await change(as(account), 'book', {idempotencyKey: key, ...place}, bookFields)
        return result === null ? null : booked(result)
      }
      case 'cancel': {
        const {account, bookingId} = call.booking
        const result = await change(as(account), 'cancelBooking', {idempotencyKey: key, bookingId}, '')
        if (result === null) return null
        const isDone = result.__typename === 'CancelBookingSuccess'
        if (!isDone && result.__typename !== 'AlreadyEnded') throw new Error(JSON.stringify(result))
        return answered(result, {type: isDone ? 'cancelled' : 'alreadyCancelled'})
      }
      default: {
        const [who, query] = queryOf(call)
        const data = await send(url, as(who), query, {}, position)
        return data === null ? null : {answer: readOf(call, data), position: null}
      }
    }
  }
  return {node, ask, isOpen: () => true}
}

interface Result {
  readonly __typename: string
  readonly position?: string
  readonly booking?: {readonly machine: {readonly id: string} | null} | null
  readonly until?: string
  readonly availableMinutes?: number
}

const bookFields = `... on BookSuccess { booking { machine { id } } } ... on SlotTaken { until }
  ... on InsufficientHours { availableMinutes }`

const answered = ({position}: Result, answer: Answer): Answered => ({
  answer,
  position: position === undefined ? null : BigInt(position),
})

function booked(result: Result): Answered {
  switch (result.__typename) {
    case 'BookSuccess': {
      // The booking is read from the node's read models and may not be there yet.
      const machineId = result.booking?.machine?.id
      return answered(result, {type: 'booked', machineId: machineId === undefined ? null : bareId(machineId)})
    }
    case 'SlotTaken':
      return answered(result, {type: 'taken', untilMs: Date.parse(result.until ?? '')})
    case 'InsufficientHours':
      return answered(result, {type: 'insufficient', available: result.availableMinutes ?? -1})
    default:
      throw new Error(JSON.stringify(result))
  }
}

function queryOf(call: Call): readonly [account: string, query: string] {
  switch (call.type) {
    case 'balance':
      return [call.account, '{ viewer { balance { availableMinutes heldMinutes } } }']
    case 'booking':
      return [call.booking.account, `{ booking(id: "${call.booking.bookingId}") { status } }`]
    case 'slots': {
      const {fromMs, toMs, minutes} = call.window
      const range = `from: "${instantFromMs(fromMs)}", to: "${instantFromMs(toMs)}", minutes: ${minutes}`
      const where = `serviceId: "${service}", realmId: "${realmOf(call.pool)}"`
      return [
        call.account,
        `{ availability(${where}, ${range}) { ... on Availability { slots { start freeMachines } } } }`,
      ]
    }
    default:
      throw new Error(`${call.type} is no query`)
  }
}

function readOf(call: Call, data: Data): Answer {
  if (call.type === 'balance') {
    const {viewer} = data as {viewer: {balance: {availableMinutes: number; heldMinutes: number}}}
    return {type: 'balance', available: viewer.balance.availableMinutes, held: viewer.balance.heldMinutes}
  }
  if (call.type === 'booking') {
    const {booking} = data as {booking: {status: string} | null}
    const status = booking === null ? 'none' : booking.status.toLowerCase()
    if (status !== 'none' && status !== 'confirmed' && status !== 'cancelled') throw new Error(status)
    return {type: 'booking', status}
  }
  const {availability} = data as {availability: {slots: readonly {start: string; freeMachines: number}[]}}
  const slots = availability.slots.map(({start, freeMachines}) => [Date.parse(start), freeMachines] as const)
  return {type: 'slots', slots}
}
