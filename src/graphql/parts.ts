import type {Duplex} from 'node:stream'
import type {Logger} from 'pino'
import type {AgendaQueries} from '../../projections/agenda.ts'
import type {AvailabilityQueries} from '../../projections/availability.ts'
import type {BalanceQueries} from '../../projections/balances.ts'
import type {CatalogueQueries} from '../../projections/catalogue.ts'
import type {MachineQueries} from '../../projections/machines.ts'
import type {DomainEvent} from '../../projections/projection.ts'
import type {PurchaseQueries} from '../../projections/purchases.ts'
import type {UserQueries} from '../../projections/users.ts'
import type {Tokens} from '../access/tokens.ts'
import type {Bookings} from '../dispatch/bookings.ts'
import type {Operations} from '../dispatch/operations.ts'
import type {People} from '../dispatch/people.ts'
import type {Purchases} from '../dispatch/purchases.ts'
import type {StoredEvent} from '../kernel/messages.ts'
import type {Clock, Timers} from '../kernel/time.ts'

/** What the GraphQL server is built on: the dispatchers for commands, the read models' queries for everything else. */
export interface GraphqlParts {
  readonly bookings: Bookings
  readonly purchases: Purchases
  readonly operations: Operations
  readonly people: People
  readonly queries: {
    readonly agenda: AgendaQueries
    readonly availability: AvailabilityQueries
    readonly balances: BalanceQueries
    readonly catalogue: CatalogueQueries
    readonly machines: MachineQueries
    readonly purchases: PurchaseQueries
    readonly users: UserQueries
  }
  /** When what is read now from a connection may have arrived, at the earliest. */
  readonly arrivedAtMs: (connection: Duplex) => number
  readonly verifyAccess: Tokens['verifyAccess']
  readonly clock: Clock
  readonly timers: Timers
  /** Where this node's read models are in the log. */
  readonly projections: {position(): bigint}
  /** Resolves true once the read models have reached `commit`, false when that took longer. */
  readonly waitFor: (commit: bigint, timeoutMs: number) => Promise<boolean>
  /** Calls back after every batch the read models have folded; answers how to stop it. */
  readonly onBatch: (listener: (batch: readonly StoredEvent<DomainEvent>[]) => void) => () => void
  /** GraphiQL, introspection for everybody, and hints in error messages. */
  readonly development: boolean
  readonly logger: Logger
  readonly limits?: Partial<SubscriptionLimits>
}

export interface SubscriptionLimits {
  /** Changes that wait for one subscriber; with more, it is dropped. */
  readonly pendingMax: number
  readonly perUserMax: number
  readonly subscribersMax: number
}

export const defaultSubscriptionLimits: SubscriptionLimits = {pendingMax: 1000, perUserMax: 100, subscribersMax: 10_000}
