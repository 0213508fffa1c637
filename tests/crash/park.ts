/** Machines outside of the program, as real ones are: they go on while it is dead, and know what was done to them. */
import {once} from 'node:events'
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'
import {setTimeout as after} from 'node:timers/promises'

export interface ParkEffect {
  readonly machineId: string
  readonly effect: 'started' | 'stopped' | 'killed'
  /** By the clock of the tests. */
  readonly atMs: number
}

export interface ParkCommand {
  readonly machineId: string
  readonly op: string
  /** The name of the node that called. */
  readonly by: string
}

export interface Park {
  readonly url: string
  /** Every real change of power, in order. A start of what is on and a stop of what is off change nothing. */
  readonly effects: readonly ParkEffect[]
  /** Every call of start, stop and kill, those without effect too. */
  readonly commands: readonly ParkCommand[]
  /** All that anybody ever asked for. */
  machineIds(): readonly string[]
  /** Answers whether it went off in time. */
  untilOff(machineId: string, limit: AbortSignal): Promise<boolean>
  close(): Promise<void>
}

export interface ParkOptions {
  readonly nowMs: () => number
  readonly bootMs: number
}

/** Answers `POST /<machine>/<start|stop|kill|observe>` with `{power, ready}`. */
export async function startPark({nowMs, bootMs}: ParkOptions): Promise<Park> {
  const onSinceMs = new Map<string, number>()
  const effects: ParkEffect[] = []
  const known = new Set<string>()
  const commands: ParkCommand[] = []

  const change = (machineId: string, op: string, by: string): void => {
    known.add(machineId)
    const isOn = onSinceMs.has(machineId)
    if (op !== 'observe') commands.push({machineId, op, by})
    if (op === 'start' && !isOn) {
      onSinceMs.set(machineId, performance.now())
      effects.push({machineId, effect: 'started', atMs: nowMs()})
    } else if ((op === 'stop' || op === 'kill') && isOn) {
      onSinceMs.delete(machineId)
      effects.push({machineId, effect: op === 'stop' ? 'stopped' : 'killed', atMs: nowMs()})
    }
  }
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const [, machineId = '', op = ''] = (request.url ?? '').split('/')
    change(machineId, op, String(request.headers['x-node']))
    const sinceMs = onSinceMs.get(machineId)
    const seen = sinceMs === undefined ? {power: 'off'} : {power: 'on', ready: performance.now() - sinceMs >= bootMs}
    response.setHeader('content-type', 'application/json').end(JSON.stringify(seen))
  }
  const server = createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    effects,
    commands,
    machineIds: () => [...known],
    async untilOff(machineId, limit) {
      while (onSinceMs.has(machineId) && !limit.aborted) await after(50)
      return !onSinceMs.has(machineId)
    },
    async close() {
      server.closeAllConnections()
      const closed = once(server, 'close')
      server.close()
      await closed
    },
  }
}
