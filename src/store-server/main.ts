/** `npm run store`: the embedded node as a small server of its own, which several Hourhand nodes can share. */
import {join} from 'node:path'

import {type EmbeddedNode, startEmbeddedNode} from '../embedded-node/node.ts'
import {createLogger} from '../http/logging.ts'
import {BadSettings, readSettings, type StoreSettings, usage} from './settings.ts'

type Log = ReturnType<typeof createLogger>

/** Answers the exit status. */
async function run(settings: StoreSettings): Promise<number> {
  const {dataFolder, port, httpPort: controlPort, host, advertisedHost, security, logLevel} = settings
  const log = createLogger(logLevel)
  const stopped = untilSignal()
  let node: EmbeddedNode
  try {
    node = await startEmbeddedNode({
      dataDir: join(dataFolder, 'events'),
      port,
      host,
      advertisedHost,
      security,
      controlPort,
      onNotice: text => log.info(text),
    })
  } catch (error) {
    log.fatal((error as Error).message)
    return 1
  }
  announce(log, settings, node)
  const outcome = await Promise.race([stopped, node.failed])
  if (outcome instanceof Error) {
    log.fatal({err: outcome}, 'the store cannot go on; what it acknowledged is in the log')
    return 1
  }
  log.info({signal: outcome}, 'stopping')
  await node.close()
  log.info('stopped')
  return 0
}

function announce(log: Log, {dataFolder, security}: StoreSettings, node: EmbeddedNode): void {
  const account = security === undefined ? '' : `${encodeURIComponent(security.username)}:PASSWORD@`
  const url = node.connectionString.replace('esdb://', `esdb://${account}`)
  const {controlUrl} = node
  log.info(
    {eventStoreUrl: url, health: `${controlUrl}/health`, stats: `${controlUrl}/stats`, dataFolder},
    `the store is ready: EVENTSTORE_URL=${url}`,
  )
}

/** Resolves with the first signal that asks for the end. A later one ends the program at once. */
function untilSignal(): Promise<string> {
  let firstAtMs: number | null = null
  return new Promise(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        // npm passes on what the terminal has sent already: two at once are one.
        if (firstAtMs !== null && performance.now() - firstAtMs > 1000) process.exit(130)
        firstAtMs ??= performance.now()
        resolve(signal)
      })
    }
  })
}

try {
  const settings = readSettings(process.argv.slice(2), process.env)
  if (settings === 'help') process.stdout.write(`${usage}\n`)
  process.exitCode = settings === 'help' ? 0 : await run(settings)
} catch (error) {
  if (!(error instanceof BadSettings)) throw error
  process.stderr.write(`${error.message}\n\n${usage}\n`)
  process.exitCode = 1
}
