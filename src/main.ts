import {readFileSync} from 'node:fs'
import {parseArgs} from 'node:util'
import {ConfigError, loadConfig, type Config} from './config.ts'
import {DataFolderInUse} from './embedded-node/node.ts'
import {startNode} from './node.ts'
import {rebuildReadModels} from './rebuild.ts'

/** Ends the program with a text a person can act on. */
class Fatal extends Error {}

async function main(): Promise<void> {
  const {positionals} = parseArgs({allowPositionals: true})
  const {config, warnings} = readConfig()
  for (const warning of warnings) say(`warning: ${warning}`)
  switch (positionals[0]) {
    case undefined:
      return run(config)
    case 'rebuild':
      return rebuildReadModels(config, say)
    default:
      throw new Fatal(`unknown command ${positionals[0]}; there are: (none) to start, rebuild`)
  }
}

/** Runs a node until it is told to stop or cannot go on. */
async function run(config: Config): Promise<void> {
  const node = await startNode(config)
  for (const line of node.banner) say(line)
  const stopped = Promise.withResolvers<string>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopped.resolve(signal))
  const failure = await Promise.race([stopped.promise.then(() => null), node.failed])
  if (failure === null) say('stopping: finishing what is under way')
  await node.stop()
  if (failure !== null) throw new Fatal(`stopped: ${failure.message}`)
}

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

main().then(
  () => process.exit(0),
  (error: unknown) => {
    const expected = error instanceof Fatal || error instanceof ConfigError || error instanceof DataFolderInUse
    process.stderr.write(`${expected ? error.message : (error as Error).stack}\n`)
    process.exit(1)
  },
)
