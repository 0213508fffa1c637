import {spawn, type ChildProcess} from 'node:child_process'
import {once} from 'node:events'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import type {TestClock} from './nodes.ts'
import type {Preloaded} from './preload.ts'

/** `npm run store` in a process of its own: what several nodes share. */
export interface StoreProcess {
  /** The same after every start. */
  port(): number
  readonly dataFolder: string
  start(): Promise<void>
  signal(name: NodeJS.Signals): void
  /** Sends the signal and waits for the end; answers its status. */
  stop(name?: NodeJS.Signals): Promise<number | null>
  close(): Promise<void>
}

const root = fileURLToPath(new URL('../../', import.meta.url))
const preload = new URL('./preload.ts', import.meta.url).href

export async function storeProcess(clock: TestClock): Promise<StoreProcess> {
  const dataFolder = await mkdtemp(join(tmpdir(), 'hourhand-crash-store-'))
  let port = 0
  let child: ChildProcess | null = null
  let ended: Promise<number | null> = Promise.resolve(null)

  const stop: StoreProcess['stop'] = async (name = 'SIGTERM') => {
    child?.kill(name)
    return ended
  }
  return {
    port: () => port,
    dataFolder,
    async start() {
      const told: Preloaded = {clockAheadMs: clock.aheadMs()}
      const args = ['--disable-warning=ExperimentalWarning', join(root, 'src/store-server/main.ts')]
      const running = spawn(
        join(root, 'node_modules/.bin/node'),
        [...args, '--port', String(port), '--http-port', '0', '--data', dataFolder],
        {
          env: {PATH: process.env.PATH, NODE_OPTIONS: `--import ${preload}`, CRASH_TEST: JSON.stringify(told)},
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      )
      child = running
      ended = once(running, 'close').then(([status]) => status as number | null)
      port = await readyPort(running.stdout, ended)
    },
    signal(name) {
      child?.kill(name)
    },
    stop,
    async close() {
      await stop('SIGKILL')
      await rm(dataFolder, {recursive: true, force: true})
    },
  }
}

/** The port in the line it prints once it is ready. */
function readyPort(output: NodeJS.ReadableStream, ended: Promise<unknown>): Promise<number> {
  let text = ''
  return new Promise((resolve, reject) => {
    output.on('data', chunk => {
      text += String(chunk)
      const [, port] = /EVENTSTORE_URL=esdb:\/\/127\.0\.0\.1:(\d+)/.exec(text) ?? []
      if (port !== undefined) resolve(Number(port))
    })
    void ended.then(() => reject(new Error(`the store ended:\n${text}`)))
  })
}
