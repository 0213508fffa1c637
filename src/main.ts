import {readFileSync} from 'node:fs'
import {ConfigError, loadConfig, type Config} from './config.ts'
import {CannotStart, ownerLink, startNode} from './node.ts'
import {rebuildReadModels} from './rebuild.ts'

/** The running program has to end; the message says why. */
class CannotGoOn extends Error {}

async function main(): Promise<void> {
  const [command] = process.argv.slice(2)
  const {config, warnings} = readConfig()
  for (const warning of warnings) complain(`warning: ${warning}`)
  switch (command) {
    case undefined:
      return run(config)
    case 'rebuild':
      return rebuildReadModels(config, say)
    case 'owner-link':
      return say(ownerLink(config))
    default:
      throw new CannotStart(`There is no command ${command}. There are: (none) to start, rebuild, owner-link.`)
  }
}

/** Runs a node until it is told to stop or cannot go on. */
async function run(config: Config): Promise<void> {
  const stopped = untilSignal()
  const node = await startNode(config)
  const failed = node.failed.then(error => ({failure: error}))
  const hint = setTimeout(() => say(`Waiting for the event store; see ${node.url}/health/ready`), quietStartMs)
  const outcome = await Promise.race([
    stopped,
    failed,
    node.ready.then(banner => {
      say(banner.join('\n'))
      clearTimeout(hint)
      return Promise.race([stopped, failed])
    }),
  ])
  clearTimeout(hint)
  if (outcome.failure === null) {
    say('Stopping: what is under way is finished first.')
    return node.stop()
  }
  const reason = new CannotGoOn(`Stopped: ${outcome.failure.message}`)
  try {
    await node.stop()
  } catch (error) {
    complain(`What failed could not be closed neatly: ${(error as Error).message}`)
  }
  throw reason
}

const quietStartMs = 3_000

/**
 * Resolves at the first signal that asks the program to end. A second one ends it at once, unless it comes with the
 * first: npm passes on to the program what the terminal has sent it already.
 */
function untilSignal(): Promise<{readonly failure: null}> {
  let firstAtMs: number | null = null
  return new Promise(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (firstAtMs !== null && performance.now() - firstAtMs > sameSignalMs) process.exit(130)
        firstAtMs ??= performance.now()
        resolve({failure: null})
      })
    }
  })
}

const sameSignalMs = 1_000

function readConfig(): ReturnType<typeof loadConfig> {
  return loadConfig(process.env, () => {
    try {
      return readFileSync('.env', 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  })
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

function complain(line: string): void {
  process.stderr.write(`${line}\n`)
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    const isForPeople = [CannotStart, CannotGoOn, ConfigError].some(kind => error instanceof kind)
    complain(String(isForPeople ? (error as Error).message : (error as Error).stack))
    process.exit(1)
  },
)
