import type {CallerRefusal} from '../dispatch/caller.ts'
import {roleEnum} from './builder.ts'
import {defineRefusal} from './refusals.ts'

type RefusalOf<Type> = Extract<CallerRefusal, {type: Type}>

defineRefusal<RefusalOf<'Forbidden'>>('Forbidden', {
  code: 'FORBIDDEN',
  message: ({needs}) => `Only an ${needs} may do this.`,
  fields: t => ({needs: t.field({type: roleEnum, resolve: ({needs}) => needs})}),
})

defineRefusal<RefusalOf<'IdempotencyKeyReused'>>('IdempotencyKeyReused', {
  code: 'IDEMPOTENCY_KEY_REUSED',
  message: () => 'This idempotencyKey was used for something else. Use a new one for each new wish.',
})
