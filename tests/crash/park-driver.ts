/** Takes the place of `src/drivers/simulated.ts` in the program: its machines are in the park of the tests. */
import {DriverError, type DriverKind, type MachineDriver, type Observation} from '../../src/drivers/port.ts'
import type {Preloaded} from './preload.ts'

export function simulatedKind(): DriverKind {
  const {parkUrl, node = ''} = JSON.parse(process.env['CRASH_TEST'] ?? '{}') as Preloaded
  return {
    kind: 'simulated',
    parseConfig: input => ({ok: true, config: input as Readonly<Record<string, unknown>>}),
    open: machineId => driverOf(`${parkUrl}/${machineId}`, node),
  }
}

function driverOf(url: string, node: string): MachineDriver {
  const call = async (op: string, signal: AbortSignal): Promise<Observation> => {
    try {
      const response = await fetch(`${url}/${op}`, {method: 'POST', signal, headers: {'x-node': node}})
      return (await response.json()) as Observation
    } catch (error) {
      throw new DriverError('transient', (error as Error).message)
    }
  }
  const command =
    (op: string) =>
    async (signal: AbortSignal): Promise<void> => {
      await call(op, signal)
    }
  const unsupported = async (): Promise<never> => {
    throw new DriverError('unsupported', 'the machines of the park do not have that')
  }
  return {
    capabilities: new Set(['readyProbe'] as const),
    start: command('start'),
    stop: command('stop'),
    kill: command('kill'),
    observe: signal => call('observe', signal),
    reboot: unsupported,
    resources: unsupported,
    sendConsole: unsupported,
    logs: unsupported,
    async close() {
      // Nothing is held open: every call is a request of its own.
    },
  }
}
