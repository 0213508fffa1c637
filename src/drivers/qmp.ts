import type {Socket} from 'node:net'
import {z} from 'zod'
import {DriverError} from './port.ts'
import {connected} from './unix-socket.ts'

/** One connection to a QEMU monitor, past its greeting. */
export interface QmpSession {
  /** @throws DriverError `conflict` when QEMU refuses the command now, `unsupported` when it does not know it. */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>
  /** Resolves once QEMU told of an event of this name, in this connection. */
  event(name: string): Promise<void>
}

/**
 * Connects, greets, lets `use` work and hangs up, all within `timeoutMs`. QMP serves one client at a time and a second
 * one waits without a greeting, so a connection is held for one operation only and never without a time-out.
 * Protocol: https://www.qemu.org/docs/master/interop/qmp-spec.html
 *
 * @throws DriverError `transient` when QEMU does not answer in time or hangs up.
 */
export async function withQmp<T>(
  socketPath: string,
  {timeoutMs, signal}: {readonly timeoutMs: number; readonly signal: AbortSignal},
  use: (session: QmpSession) => Promise<T>,
): Promise<T> {
  const bound = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  let socket: Socket | null = null
  try {
    socket = await connected(socketPath, bound)
    const session = sessionOn(socket)
    await session.greet()
    return await use(session)
  } catch (error) {
    if (error instanceof DriverError) throw error
    const reason = bound.aborted ? 'did not answer in time' : 'hung up or made no sense'
    throw new DriverError('transient', `the QEMU monitor ${reason}`)
  } finally {
    socket?.destroy()
  }
}

const message = z.union([
  z.object({QMP: z.unknown()}),
  z.object({event: z.string()}),
  z.object({return: z.unknown(), id: z.number()}),
  z.object({error: z.object({class: z.string(), desc: z.string()}), id: z.number().optional()}),
])

type Message = z.infer<typeof message>

const lineBytesMax = 1024 * 1024
const eventsMax = 100

function sessionOn(socket: Socket): QmpSession & {greet(): Promise<void>} {
  const messages = messagesFrom(socket)
  const events: string[] = []
  let lastId = 0

  /** The next message that is no event; or null when the event asked for came first. */
  const next = async (awaited: string | null): Promise<Message | null> => {
    for (;;) {
      const {value, done} = await messages.next()
      if (done === true) throw new Error('the connection ended')
      if (!('event' in value)) return value
      if (value.event === awaited) return null
      if (events.push(value.event) > eventsMax) events.shift()
    }
  }

  const session: QmpSession & {greet(): Promise<void>} = {
    async greet() {
      const greeting = await next(null)
      if (greeting === null || !('QMP' in greeting)) throw new Error('not a QEMU monitor')
      await session.execute('qmp_capabilities')
    },
    async execute(command, args = {}) {
      lastId += 1
      socket.write(`${JSON.stringify({execute: command, arguments: args, id: lastId})}\n`)
      const answer = await next(null)
      if (answer !== null && 'return' in answer && answer.id === lastId) return answer.return
      if (answer === null || !('error' in answer)) throw new Error('an answer to no question')
      const errorClass = answer.error.class === 'CommandNotFound' ? 'unsupported' : 'conflict'
      throw new DriverError(errorClass, `QEMU refused ${command}: ${answer.error.desc.slice(0, 200)}`)
    },
    async event(name) {
      const seen = events.indexOf(name)
      if (seen !== -1) events.splice(seen, 1)
      else if ((await next(name)) !== null) throw new Error('an answer to no question')
    },
  }
  return session
}

async function* messagesFrom(socket: Socket): AsyncGenerator<Message, void, void> {
  socket.setEncoding('utf8')
  let rest = ''
  for await (const chunk of socket) {
    const lines = (rest + String(chunk)).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > lineBytesMax) throw new Error('a line without end')
    for (const line of lines) {
      if (line.trim() !== '') yield message.parse(JSON.parse(line))
    }
  }
}
