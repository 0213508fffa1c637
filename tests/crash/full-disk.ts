import {join} from 'node:path'
import {setTimeout as after} from 'node:timers/promises'
import {diceOf} from '../simulation/dice.ts'
import {createClient, type Client} from './client.ts'
import {afterAllMs, conclude, startOrFail, withLog, type Figures} from './closing.ts'
import {letLoose, registerCustomers} from './customers.ts'
import {crashNode, testClock} from './nodes.ts'
import {startPark} from './park.ts'
import {smallDisk} from './small-disk.ts'

export interface FullDiskOptions {
  readonly seed: number
  /** How often the disk gets full. */
  readonly rounds: number
  readonly onProgress?: (line: string) => void
}

const minuteMs = 60_000
const diskMebibytes = 96
const customersCount = 6

/**
 * The disk of the program gets full under load, again and again; in every other round the program is killed then and
 * started again. Once there is room, all goes on, and nothing is lost that was acknowledged.
 */
export async function fillDisks(options: FullDiskOptions): Promise<Figures & {readonly violations: readonly string[]}> {
  const {seed, rounds, onProgress: say = () => undefined} = options
  const dice = diceOf(seed)
  const clock = testClock()
  const violations: string[] = []
  const report = (violation: string): void => void violations.push(violation)
  const disk = await smallDisk(diskMebibytes)
  const park = await startPark({nowMs: () => clock.nowMs(), bootMs: 100})
  const dataFolder = join(disk.folder, 'data')
  const node = await crashNode({name: 'one', clock, parkUrl: park.url, dataFolder})
  try {
    const client = createClient({nodes: [node], clock, chance: () => dice.next(), report, answerMsMax: 20_000})
    const parts = {client, clock, dice: diceOf(seed ^ 0x1111), count: customersCount, report}
    const readyMs: number[] = []
    await startOrFail(node)
    const userIds = await registerCustomers(parts, AbortSignal.timeout(minuteMs))
    const customers = letLoose(parts, userIds)
    for (let round = 1; round <= rounds; round++) {
      await after(dice.below(500))
      await disk.fill()
      await untilRefused(client)
      const program = node.serving()
      if (program === null) {
        report(`it died of a full disk:\n${node.printed().slice(-2_000)}`)
      } else {
        const live = await fetch(`${program.url}/health/live`)
        if (live.status !== 200) report(`with a full disk it is said not to live: ${live.status}`)
      }
      say(`${round}: the disk is full, and requests are refused`)
      if (round % 2 === 0) {
        await node.serving()?.stop('SIGKILL')
        const started = await Promise.race([node.start(), after(5_000).then(() => null)])
        const outcome = started === null ? 'it waits' : started.isReady ? 'ready' : 'it says why not'
        if (outcome === 'it says why not' && !/ENOSPC|full/.test(node.printed())) {
          report(`it does not start on a full disk, and does not say why:\n${node.printed()}`)
        }
        say(`${round}: started on the full disk: ${outcome}`)
        await disk.free()
        await node.serving()?.stop('SIGKILL')
        await startOrFail(node)
      } else {
        await disk.free()
      }
      if (!(await goesOn(client)))
        report(`there is room again, and it does not go on:\n${node.printed().slice(-2_000)}`)
    }
    await customers.stop()
    await node.serving()?.stop('SIGKILL')
    clock.jump(afterAllMs)
    const withStore = <Value>(read: Parameters<typeof withLog<Value>>[1]): Promise<Value> => withLog(dataFolder, read)
    const figures = await conclude({nodes: [node], client, clock, userIds, park, report, readyMs, withStore})
    return {violations, ...figures}
  } finally {
    await node.close()
    await disk.close()
    await park.close()
  }
}

async function untilRefused(client: Client): Promise<void> {
  const enough = client.repeated() + 20
  const limit = AbortSignal.timeout(minuteMs)
  while (client.repeated() < enough) {
    limit.throwIfAborted()
    await after(20)
  }
}

/** Whether requests are answered again. */
async function goesOn(client: Client): Promise<boolean> {
  const enough = client.acknowledged.length + 30
  const limit = AbortSignal.timeout(20_000)
  while (client.acknowledged.length < enough && !limit.aborted) await after(20)
  return client.acknowledged.length >= enough
}
