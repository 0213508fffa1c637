import {z} from 'zod'
import type {EventMetadata} from '../kernel/messages.ts'
import {stored} from '../kernel/messages.ts'

const actor = z.discriminatedUnion('type', [
  z.object({type: z.literal('user'), userId: stored.id<'User'>()}),
  z.object({type: z.literal('process'), name: z.string()}),
])

export const metadataSchema: z.ZodType<EventMetadata> = z.object({
  $correlationId: z.string(),
  $causationId: z.string(),
  actor,
  at: stored.instant,
  version: z.int().min(1),
})
