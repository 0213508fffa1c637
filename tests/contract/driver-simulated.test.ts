import {seededRandom} from '../../src/drivers/simulated-machine.ts'
import {simulatedKind} from '../../src/drivers/simulated.ts'
import {instantFromMs} from '../../src/kernel/time.ts'
import {calm, driverContract} from './driver-contract.ts'

driverContract('simulated', async () => {
  let nowMs = 0
  let machines = 0
  const clock = {now: () => instantFromMs(1_800_000_000_000 + nowMs), monotonicMs: () => nowMs}
  const kind = simulatedKind({clock, random: seededRandom(1)})
  const config = {bootSeconds: 3, stopSeconds: 1}
  return {
    kind,
    config,
    newMachineId: () => `machine-${(machines += 1)}`,
    runningCount: async machineId => ((kind.truth(machineId)?.phase ?? 'off') === 'off' ? 0 : 1),
    readyCount: async machineId => {
      const lines = await kind.open(machineId, config).logs(1000, calm)
      return lines.filter(line => line === 'READY').length
    },
    pass: async () => {
      nowMs += 250
    },
    looksMax: 100,
    testimony: async () => JSON.stringify(kind.truth(`machine-${machines}`)),
    close: async () => undefined,
  }
})
