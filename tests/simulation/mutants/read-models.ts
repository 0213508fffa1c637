import type {Mutant} from './mutant.ts'

const subscription = 'src/event-store/subscription.ts'
const models = 'projections/read-models.ts'

export const readModelMutants: readonly Mutant[] = [
  {
    name: 'a lost subscription resumes one event too late',
    file: subscription,
    guard: 'after === null ? {signal} : {after, signal}',
    without: 'after === null ? {signal} : {after: {...after, commit: after.commit + 1n}, signal}',
    shows: /differs from a rebuilt one|do not catch up/,
  },
  {
    name: 'rows are written without their checkpoint',
    file: models,
    guard: 'if (models.length === live.length) statements.checkpointAll.run(upTo.commit, upTo.prepare)',
    without: 'if (models.length === live.length) void statements.checkpointAll',
    shows: /differs from a rebuilt one|alarm: read model/,
  },
]
