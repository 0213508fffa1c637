import {createSecretKey, randomBytes} from 'node:crypto'
import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {createTokens} from '../../src/access/tokens.ts'
import {defaultPolicy} from '../../src/booking/policies.ts'
import {seedDevelopment} from '../../src/development.ts'
import {createFleet} from '../../src/drivers/fleet.ts'
import {simulatedKind} from '../../src/drivers/simulated.ts'
import {startEmbeddedNode} from '../../src/embedded-node/node.ts'
import {createEngine} from '../../src/engine.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {systemClock, systemIds, systemRandom, systemRandomBytes, systemTimers} from '../../src/system.ts'
import {machines, minutesEach, pool, service, users} from './work.ts'

const owner = {userId: idOf<'User'>('owner'), roles: ['owner'] as const, requestId: 'bench'}

/** As the configuration has them when nobody sets them. */
export const timings = {
  bootTimeoutSeconds: 300,
  stopResendSeconds: 10,
  stopGraceSeconds: 60,
  killSeconds: 30,
  attemptsMax: 3,
} as const

/** A whole engine on a fresh data folder, as `npm start` builds it: embedded node, read models, processes running. */
export async function startBenchEngine() {
  const folder = mkdtempSync(join(tmpdir(), 'hourhand-bench-'))
  const node = await startEmbeddedNode({dataDir: folder, host: '127.0.0.1'})
  const store = connectEventStore(node.connectionString)
  const fleet = createFleet([simulatedKind({clock: systemClock, random: systemRandom})])
  const keys = [{kid: 'bench', secret: createSecretKey(randomBytes(48))}]
  const tokens = createTokens({keys, issuer: 'hourhand', audience: 'hourhand', clock: systemClock, ids: systemIds})
  const complain = (what: string, error: Error): void => console.error(what, error)
  const engine = createEngine({
    store,
    tokens,
    clock: systemClock,
    timers: systemTimers,
    ids: systemIds,
    random: systemRandom,
    randomBytes: systemRandomBytes,
    masterKey: createSecretKey(randomBytes(32)),
    policy: defaultPolicy,
    timings,
    drivers: fleet,
    readModelsFile: join(folder, 'read-models.sqlite'),
    nodeId: 'bench',
    exclusive: true,
    log: {warn: complain, alert: complain},
  })
  await seed(engine)
  const stopping = new AbortController()
  const acting = engine.act(stopping.signal)
  return {
    engine,
    tokens,
    connectionString: node.connectionString,
    /** Milliseconds until the read models had folded all that was written; throws when they did not. */
    async catchUpMs(): Promise<number> {
      const last = (await store.readAll({direction: 'backwards', from: 'end', maxCount: 1}))[0]
      const began = performance.now()
      const done = await engine.projections.waitFor(last?.position.commit ?? 0n, 30_000)
      if (!done || engine.projections.halted().length > 0) throw new Error('the read models did not catch up')
      return performance.now() - began
    },
    async stop(): Promise<void> {
      stopping.abort()
      await acting
      await engine.projections.stop()
      await store.close()
      await node.close()
      rmSync(folder, {recursive: true, force: true})
    },
  }
}

async function seed(engine: ReturnType<typeof createEngine>): Promise<void> {
  await seedDevelopment(engine.operations)
  for (const machine of machines) {
    await engine.operations.registerMachine(owner, {
      idempotencyKey: machine,
      machineId: idOf<'Machine'>(machine),
      name: machine,
      poolId: idOf<'Pool'>(pool),
      services: [idOf<'Service'>(service)],
      driver: {kind: 'simulated', config: {bootSeconds: 20, stopSeconds: 5}},
    })
  }
  const grant = (user: string) =>
    engine.purchases.grantHours(owner, {
      idempotencyKey: user,
      userId: idOf<'User'>(user),
      minutes: minutesEach,
      reason: 'bench',
      expiresAt: null,
    })
  await Promise.all(users.map(grant))
  await engine.projections.caughtUp
}
