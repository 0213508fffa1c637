/** Machines outside of the program, as real ones are: they go on while it is dead, and know what was done to them. */
import {once} from 'node:events'
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'

export interface ParkEffect {
  readonly machineId: string
  readonly effect: 'started' | 'stopped' | 'killed'
  /** By the clock of the tests. */
  readonly atMs: number
}

export interface Park {
  readonly url: string
  /** Every real change of power, in order. A start of what is on and a stop of what is off change nothing. */
  readonly effects: readonly ParkEffect[]
  /** Calls of start, stop and kill, those without effect too. */
  calls(): number
  isOn(machineId: string): boolean
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
  let calls = 0

  const change = (machineId: string, op: string): void => {
    const isOn = onSinceMs.has(machineId)
    if (op !== 'observe') calls++
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
    change(machineId, op)
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
    calls: () => calls,
    isOn: machineId => onSinceMs.has(machineId),
    async close() {
      server.closeAllConnections()
      const closed = once(server, 'close')
      server.close()
      await closed
    },
  }
}
