import {accountMutants} from './mutants/accounts.ts'
import {bookingMutants} from './mutants/bookings.ts'
import {calendarMutants} from './mutants/calendars.ts'
import {handlerMutants} from './mutants/handler.ts'
import {machineMutants} from './mutants/machines.ts'
import type {Mutant} from './mutants/mutant.ts'
import {processMutants} from './mutants/processes.ts'
import {readModelMutants} from './mutants/read-models.ts'
import {shopAndPeopleMutants} from './mutants/shop-and-people.ts'

/** Every guard that is taken away, one at a time, to show that the simulation sees it missing. */
export const planted: readonly Mutant[] = [
  ...accountMutants,
  ...bookingMutants,
  ...calendarMutants,
  ...machineMutants,
  ...shopAndPeopleMutants,
  ...processMutants,
  ...handlerMutants,
  ...readModelMutants,
]
