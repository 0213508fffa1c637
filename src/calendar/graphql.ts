import {builder} from '../graphql/builder.ts'
import {badInput} from '../graphql/errors.ts'
import {idInput} from '../graphql/inputs.ts'
import {serviceRef} from '../graphql/refs.ts'
import {defineRefusal, payloadUnion, type AnyRefusal} from '../graphql/refusals.ts'
import {msBetween} from '../kernel/time.ts'
import {agendaWindow, availableSlots, windowDaysMax, type Availability, type Slot} from './availability.ts'
import type {CalendarRefusal} from './decider.ts'

type RefusalOf<Type> = Extract<CalendarRefusal, {type: Type}>

defineRefusal<RefusalOf<'SlotTaken'>>('SlotTaken', {
  code: 'SLOT_TAKEN',
  message: ({until}) => `No machine is free then. One is from ${until} on.`,
  fields: t => ({
    until: t.field({
      type: 'DateTime',
      description: 'The earliest start at or after the wished one at which a machine is free for as long.',
      resolve: ({until}) => until,
    }),
  }),
})

defineRefusal<RefusalOf<'NoMachineServes'>>('NoMachineServes', {
  code: 'NO_MACHINE_SERVES',
  message: () => 'No machine of this realm offers this service at present.',
  fields: t => ({
    service: t.field({
      type: serviceRef,
      nullable: true,
      resolve: ({serviceId}, _args, {parts}) => parts.queries.catalogue.service(serviceId),
    }),
  }),
})

const slotRef = builder.objectRef<Slot>('Slot').implement({
  description: 'An interval that can be booked at this moment.',
  fields: t => ({
    start: t.field({type: 'DateTime', resolve: ({start}) => start}),
    end: t.field({type: 'DateTime', resolve: ({end}) => end}),
    freeMachines: t.exposeInt('freeMachines', {description: 'How many machines could take it; 1 or more.'}),
  }),
})

const availabilityRef = builder.objectRef<Availability>('Availability').implement({
  fields: t => ({
    slots: t.field({type: [slotRef], description: 'In order of start; at most 2,000.', resolve: ({slots}) => slots}),
    searchedUntil: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'Ask again from here: there were more slots than are answered at once. Null: that was all.',
      resolve: ({searchedUntil}) => searchedUntil,
    }),
  }),
})

type AvailabilityRefusal = {readonly type: 'UnknownService' | 'UnknownRealm' | 'LengthNotAllowed'}

const availabilityResult = payloadUnion<AvailabilityRefusal>()('AvailabilityResult', availabilityRef, {
  UnknownService: true,
  UnknownRealm: true,
  LengthNotAllowed: true,
})

builder.queryField('availability', t =>
  t.field({
    type: availabilityResult,
    description:
      'The slots that begin at or after `from` and before `to`, at most 31 days later. With a token, slots that touch ' +
      'the caller’s own bookings count as well: between those no machine has to be restarted.',
    args: {
      serviceId: t.arg.id({required: true}),
      realmId: t.arg.id({required: true}),
      from: t.arg({type: 'DateTime', required: true}),
      to: t.arg({type: 'DateTime', required: true}),
      minutes: t.arg.int({required: true}),
    },
    resolve(_root, args, {parts, caller}): Availability | AnyRefusal {
      const {from, to, minutes} = args
      const serviceId = idInput('Service', 'serviceId', args.serviceId)
      const realmId = idInput('Realm', 'realmId', args.realmId)
      if (to <= from) throw badInput('to', 'The end must be after the start.')
      if (msBetween(from, to) > windowDaysMax * 86_400_000) throw badInput('to', 'At most 31 days after `from`.')
      const {catalogue} = parts.queries
      const realm = catalogue.realm(realmId)
      if (realm === null) return {type: 'UnknownRealm', field: 'realmId'} as AnyRefusal
      const quote = parts.bookings.quote({serviceId, minutes})
      if (!quote.ok && quote.refusal.type !== 'OutsideHorizon') return quote.refusal
      const wish = {serviceId, from, to, minutes, userId: caller?.userId ?? null}
      const {policy} = parts.bookings
      const now = parts.clock.now()
      // Times near year 9999 have no end that can be written; the horizon ends long before.
      if (msBetween(now, from) > policy.horizonDays * 86_400_000) return {slots: [], searchedUntil: null}
      const {fromMs, toMs} = agendaWindow(wish)
      return availableSlots(wish, policy, parts.queries.availability.poolAgenda(realm.poolId, fromMs, toMs), now)
    },
  }),
)
