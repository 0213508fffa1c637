import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {fileURLToPath} from 'node:url'

const path = (name: string): string => fileURLToPath(new URL(`../../src/store-tools/${name}.ts`, import.meta.url))
export const toolPaths = {
  backup: path('backup'),
  restore: path('restore'),
  copy: path('copy'),
  compact: path('compact'),
  verify: path('verify'),
} as const

export interface Ran {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  /** Output and errors together. */
  readonly output: string
}

export interface RunningTool {
  readonly ended: Promise<Ran>
  printed(): string
  kill(): void
}

/** Starts a tool as a user does, in a process of its own. */
export function launchTool(tool: string, args: readonly string[]): RunningTool {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', tool, ...args], {
    env: {PATH: process.env.PATH},
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
  }
  const ended = once(child, 'close').then(([status, signal]) => ({
    status: status as number | null,
    signal: signal as NodeJS.Signals | null,
    output,
  }))
  return {ended, printed: () => output, kill: () => void child.kill('SIGKILL')}
}

export const runTool = (tool: string, args: readonly string[]): Promise<Ran> => launchTool(tool, args).ended
