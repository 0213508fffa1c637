import type {BookingTerms} from '../kernel/terms.ts'
import {builder} from './builder.ts'
import {moneyRef} from './refs.ts'

// The parts of a booking's terms that policies, quotes and bookings have in common.

type Tier = BookingTerms['policy']['cancellationTiers'][number]

export const tierRef = builder.objectRef<Tier>('CancellationTier').implement({
  description: 'Cancelled with at least this much notice before the start, this share of the minutes is charged.',
  fields: t => ({
    noticeMinutesMin: t.exposeInt('noticeMinutesMin'),
    chargePercent: t.exposeFloat('chargePercent'),
  }),
})

export const quoteRef = builder.objectRef<BookingTerms['price']>('Quote').implement({
  description: 'The list value of a booking. What is paid with is minutes.',
  fields: t => ({
    list: t.field({type: moneyRef, resolve: ({list}) => list}),
    discountPercent: t.exposeFloat('discountPercent'),
    total: t.field({type: moneyRef, resolve: ({total}) => total}),
  }),
})
