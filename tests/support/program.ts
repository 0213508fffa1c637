import {spawn, type ChildProcess} from 'node:child_process'
import {once} from 'node:events'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'

/** The whole program as its users have it: a process of its own, known by its output, its exit, signals and HTTP. */
export interface Program {
  readonly pid: number
  /** What it has printed up to now, output and errors together. */
  printed(): string
  /** Resolves with the match once it has printed this; rejects when it ends first. */
  untilPrinted(pattern: RegExp): Promise<RegExpExecArray>
  readonly exited: Promise<Exit>
  signal(name: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): void
  /** Sends the signal and waits for the end. */
  stop(name?: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): Promise<Exit>
}

/** One that is ready and serves. */
export interface RunningProgram extends Program {
  /** Without a slash at its end. */
  readonly url: string
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export type Environment = Readonly<Record<string, string>>

/** A data folder and the programs that were started on it. */
export interface ProgramHome {
  readonly dataFolder: string
  /** Starts a program and waits for its ready line. */
  start(environment?: Environment): Promise<RunningProgram>
  /** Starts a program, or one of its commands, and does not wait for anything. */
  launch(environment?: Environment, ...command: readonly string[]): Program
  /** Ends what still runs and removes the folder. */
  close(): Promise<void>
}

const root = fileURLToPath(new URL('../../', import.meta.url))
const pinnedNode = join(root, 'node_modules/.bin/node')
const main = join(root, 'src/main.ts')

/** A home in a folder of its own. What is started in it listens on a port that the system picks. */
export async function programHome(): Promise<ProgramHome> {
  const folder = await mkdtemp(join(tmpdir(), 'hourhand-home-'))
  const dataFolder = join(folder, 'data')
  const launched: Program[] = []

  const launch = (environment: Environment = {}, ...command: readonly string[]): Program => {
    const child = spawn(pinnedNode, [main, ...command], {
      // A folder without an `.env` file, and nothing of the environment of the tests but the way to programs.
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        // Dozens of starts read the same files: this halves what each costs.
        NODE_COMPILE_CACHE: join(tmpdir(), 'hourhand-compile-cache'),
        HOURHAND_PORT: '0',
        HOURHAND_DATA: dataFolder,
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const program = watch(child)
    launched.push(program)
    return program
  }
  return {
    dataFolder,
    launch,
    async start(environment) {
      const program = launch(environment)
      const [, url = ''] = await program.untilPrinted(/^Hourhand is ready: (.+)\/graphql$/m)
      const [, listens = url] = /^ {2}listens +(\S+)$/m.exec(program.printed()) ?? []
      return {...program, url: listens}
    },
    async close() {
      for (const program of launched) await program.stop('SIGKILL')
      await rm(folder, {recursive: true, force: true})
    },
  }
}

function watch(child: ChildProcess): Program {
  let text = ''
  const listeners = new Set<() => void>()
  const tell = (): void => listeners.forEach(listener => listener())
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      tell()
    })
  }
  let exit: Exit | null = null
  // `close` and not `exit`: by then everything it printed has been read.
  const exited = once(child, 'close').then(([code, signal]): Exit => {
    exit = {code: code as Exit['code'], signal: signal as Exit['signal']}
    tell()
    return exit
  })
  const signal: Program['signal'] = name => {
    if (exit === null) child.kill(name)
  }
  return {
    pid: child.pid ?? 0,
    printed: () => text,
    exited,
    signal,
    untilPrinted: pattern =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(text)
          if (match === null && exit === null) return
          listeners.delete(look)
          if (match !== null) resolve(match)
          else reject(new Error(`the program ended (${JSON.stringify(exit)}) without ${String(pattern)}:\n${text}`))
        }
        listeners.add(look)
        look()
      }),
    stop(name = 'SIGTERM') {
      signal(name)
      return exited
    },
  }
}
