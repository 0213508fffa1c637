import type {FastifyInstance} from 'fastify'
import {HttpError, refusalOfStatus} from './errors.ts'

/** Whether this node can do its work; `waitingFor` names the part that cannot, e.g. `event store`. It is public. */
export type Readiness = {readonly isReady: true} | {readonly isReady: false; readonly waitingFor: string}

const answerMsMax = 2000

/**
 * `/health/live`: the process runs (200). `/health/ready`: it can do its work (200), or not now (503); for a load
 * balancer, which then sends requests elsewhere.
 */
export function addHealth(app: FastifyInstance, readiness: () => Promise<Readiness> | Readiness): void {
  app.get('/health/live', async () => ({status: 'live'}))
  app.get('/health/ready', async request => {
    const state = await askedWithin(readiness).catch((error: unknown): Readiness => {
      request.log.error({err: error}, 'readiness could not be told')
      return {isReady: false, waitingFor: 'readiness check'}
    })
    if (state.isReady) return {status: 'ready'}
    throw new HttpError({
      ...refusalOfStatus(503),
      code: 'NOT_READY',
      message: `Waiting for: ${state.waitingFor}.`,
      headers: {'retry-after': '1'},
    })
  })
}

async function askedWithin(readiness: () => Promise<Readiness> | Readiness): Promise<Readiness> {
  const {promise: late, resolve} = Promise.withResolvers<Readiness>()
  const timer = setTimeout(() => resolve({isReady: false, waitingFor: 'readiness check'}), answerMsMax)
  try {
    return await Promise.race([readiness(), late])
  } finally {
    clearTimeout(timer)
  }
}
