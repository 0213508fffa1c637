import {type ChildProcess, spawn} from 'node:child_process'
import {once} from 'node:events'
import {createInterface} from 'node:readline'
import {fileURLToPath} from 'node:url'

export interface NodeProcess {
  /** The first line it printed: `ready <port>`, `in use`, or an error. */
  readonly firstLine: string
  readonly port: number
  /** The lines it prints after the first. */
  nextLine(): Promise<string>
  /** SIGKILL; resolves when the process has ended. */
  kill(): Promise<void>
}

const script = fileURLToPath(new URL('./child.ts', import.meta.url))

/** Starts a node in a process of its own; `fileBlocksMax` bounds the size of its files (`ulimit -f`, 1 KiB or 512 B). */
export async function spawnNode(dataDir: string, port = 0, fileBlocksMax?: number): Promise<NodeProcess> {
  const limit = fileBlocksMax === undefined ? '' : `ulimit -f ${fileBlocksMax}; `
  const command = `${limit}exec "$0" --disable-warning=ExperimentalWarning "$@"`
  const child = spawn('sh', ['-c', command, process.execPath, script, dataDir, String(port)], {
    // The child ends when this end of its input is closed, that is also when the tests are ended before they end it.
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const lines = createInterface({input: child.stdout})[Symbol.asyncIterator]()
  const nextLine = async (): Promise<string> => {
    const {value, done} = await lines.next()
    return done === true ? 'ended' : value
  }
  const firstLine = await nextLine()
  return {
    firstLine,
    port: Number(/^ready (\d+)$/.exec(firstLine)?.[1] ?? 0),
    nextLine,
    async kill() {
      if (isRunning(child)) child.kill('SIGKILL')
      await ended
    },
  }
}

const isRunning = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null
