import type {Socket} from 'node:net'
import {DriverError} from './port.ts'
import {connected} from './unix-socket.ts'

/**
 * What QEMU's human monitor calls the machine's state: `running`, `paused`, `io-error`, `guest-panicked` and the like.
 *
 * The machine protocol could tell as well, but must not be asked this often: in QEMU 7.2 (Debian 12) a QMP command that
 * arrives while the guest powers off can hang QEMU for ever on its way out (`monitor_cleanup` waits for the QMP
 * dispatcher, which nobody wakes). The human monitor has no dispatcher.
 *
 * @throws DriverError `transient` when QEMU does not answer in time or hangs up.
 */
export async function runState(
  socketPath: string,
  {timeoutMs, signal}: {readonly timeoutMs: number; readonly signal: AbortSignal},
): Promise<string> {
  const bound = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  let socket: Socket | null = null
  try {
    socket = await connected(socketPath, bound)
    socket.write('info status\n')
    return await stateFrom(socket)
  } catch {
    const reason = bound.aborted ? 'did not answer in time' : 'hung up or made no sense'
    throw new DriverError('transient', `the QEMU monitor ${reason}`)
  } finally {
    socket?.destroy()
  }
}

const answerBytesMax = 64 * 1024

async function stateFrom(socket: Socket): Promise<string> {
  socket.setEncoding('latin1')
  let text = ''
  for await (const chunk of socket) {
    text += String(chunk)
    const match = /VM status: ([a-z]+)(?: \(([a-z-]+)\))?\r?\n/.exec(text)
    if (match !== null) return match[2] ?? match[1] ?? ''
    if (text.length > answerBytesMax) break
  }
  throw new Error('no state was told')
}
