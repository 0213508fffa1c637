import {agenda} from './agenda.ts'
import {availability} from './availability.ts'
import {balances} from './balances.ts'
import {catalogue} from './catalogue.ts'
import {machines} from './machines.ts'
import type {Projection} from './projection.ts'
import {purchases} from './purchases.ts'
import {users} from './users.ts'
import {work} from './work.ts'

/** Every read model a node folds. */
export const allProjections: readonly Projection[] = [
  agenda,
  availability,
  balances,
  catalogue,
  machines,
  purchases,
  users,
  work,
]
