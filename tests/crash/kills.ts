import {setTimeout as after} from 'node:timers/promises'
import {diceOf, type Dice} from '../simulation/dice.ts'
import {afterAllMs, conclude, startOrFail, withLog, type Figures} from './closing.ts'
import {createClient} from './client.ts'
import {crashPoints} from './crash-points.ts'
import {letLoose, registerCustomers} from './customers.ts'
import {crashNode, testClock, type CrashNode} from './nodes.ts'
import type {Exit, RunningProgram} from '../support/program.ts'
import {startPark} from './park.ts'
import type {Preloaded} from './preload.ts'

export interface KillOptions {
  readonly kills: number
  readonly seed: number
  readonly customers?: number
  /** Only these points, instead of all. */
  readonly points?: readonly string[]
  /** For holds to end after the last start; default 60 s. */
  readonly patienceMs?: number
  /** See `Preloaded`; from the second life on. */
  readonly bugs?: Preloaded['bugs']
  readonly onProgress?: (line: string) => void
  readonly onViolation?: (violation: string) => void
}

/** What a run did and found. */
export interface CrashReport extends Figures {
  readonly violations: readonly string[]
  /** Deaths by name of the point, `random` among them. */
  readonly kills: Readonly<Record<string, number>>
}

const violationsMax = 20
const minuteMs = 60_000
/** A point that was not passed in so many answers, or in this time, is left for a later round. */
const pointAnswersMax = 200
const pointMsMax = 30_000
const customersDefault = 6
/** Every so many deaths one at no special place. */
const randomEvery = 8
const extraKillsMax = 20

/**
 * Kills the program under load so many times, at every named point in turn and at random, starts it again on the same
 * data, and holds what its customers were told against what it has in the end.
 */
export async function killAgainAndAgain(options: KillOptions): Promise<CrashReport> {
  const {kills, seed, customers: count = customersDefault, bugs = [], onProgress = () => undefined} = options
  const {points = crashPoints.map(({name}) => name)} = options
  const dice = diceOf(seed)
  const clock = testClock()
  const violations: string[] = []
  const report = (violation: string): void => {
    options.onViolation?.(violation)
    if (violations.length < violationsMax) violations.push(violation)
  }
  const park = await startPark({nowMs: () => clock.nowMs(), bootMs: 100})
  const node = await crashNode({name: 'one', clock, parkUrl: park.url})
  try {
    const client = createClient({nodes: [node], clock, chance: () => dice.next(), report, answerMsMax: 20_000})
    const parts = {client, clock, dice: diceOf(seed ^ 0x1111), count, report}
    const readyMs: number[] = []
    await startOrFail(node)
    const userIds = await registerCustomers(parts, AbortSignal.timeout(minuteMs))
    const customers = letLoose(parts, userIds)
    await end(node, dice.below(500))

    const killed = await rounds({
      node,
      dice,
      kills,
      points,
      bugs,
      report,
      readyMs,
      onProgress,
      jump: ms => clock.jump(ms),
      answers: () => client.acknowledged.length,
    })
    clock.jump(minuteMs)
    readyMs.push((await startOrFail(node, {bugs})).readyMs)
    await customers.stop()
    await node.serving()?.stop('SIGKILL')

    clock.jump(afterAllMs)
    const figures = await conclude({
      nodes: [node],
      client,
      clock,
      userIds,
      park,
      report,
      readyMs,
      start: {bugs},
      patienceMs: options.patienceMs,
      withStore: read => withLog(node.dataFolder, read),
    })
    return {violations, kills: killed, ...figures}
  } finally {
    await node.close()
    await park.close()
  }
}

interface RoundParts {
  readonly node: CrashNode
  readonly dice: Dice
  readonly kills: number
  readonly points: readonly string[]
  readonly bugs: NonNullable<Preloaded['bugs']>
  readonly report: (violation: string) => void
  readonly readyMs: number[]
  readonly onProgress: (line: string) => void
  readonly jump: (ms: number) => void
  /** How many requests were answered so far. */
  readonly answers: () => number
}

/** Answers how often the program died where. */
async function rounds({
  node,
  dice,
  kills,
  points,
  bugs,
  report,
  readyMs,
  onProgress,
  jump,
  answers,
}: RoundParts): Promise<Record<string, number>> {
  const killed: Record<string, number> = {}
  let names = shuffled(points, dice)
  // What nothing led to in its round has another chance when all had theirs, if need be in rounds beyond the number.
  const missed: string[] = []
  const choose = (kill: number): {readonly name: string; readonly isRetry: boolean} => {
    if (kill <= kills && kill % randomEvery === 0) return {name: 'random', isRetry: false}
    const name = (kill <= kills && names.pop()) || undefined
    const retry = name === undefined ? missed.shift() : undefined
    if (name === undefined && retry === undefined) names = shuffled(points, dice)
    return {name: name ?? retry ?? names.pop() ?? 'random', isRetry: retry !== undefined}
  }
  for (let kill = 1; kill <= kills || (missed.length > 0 && kill <= kills + extraKillsMax); kill++) {
    const {name, isRetry} = choose(kill)
    const point = crashPoints.find(one => one.name === name)
    const dieAt = point === undefined ? undefined : {point: name, pass: 1 + dice.below(isRetry ? 1 : point.passesMax)}
    jump(dice.below(minuteMs))
    const started = await node.start(dieAt === undefined ? {bugs} : {bugs, dieAt})
    let exit = started.isReady ? null : started.exit
    if (started.isReady) {
      readyMs.push(started.readyMs)
      if (dieAt === undefined) await end(node, 50 + dice.below(600))
      else exit = await untilDead(started.program, answers)
      if (exit === null) await end(node, 0)
    }
    const diedThere = exit !== null
    if (exit !== null && exit.signal !== 'SIGKILL')
      report(`it ended by itself, ${JSON.stringify(exit)}:\n${node.printed()}`)
    if (!diedThere && point !== undefined) missed.push(name)
    const where = diedThere ? name : 'random'
    killed[where] = (killed[where] ?? 0) + 1
    const ready = started.isReady ? `ready after ${Math.round(started.readyMs)} ms` : 'never ready'
    onProgress(`${kill}: ${ready}, died ${diedThere || point === undefined ? name : `at random, not ${name}`}`)
  }
  return killed
}

/** How it ended; null when it passed the point too rarely. */
async function untilDead(program: RunningProgram, answers: () => number): Promise<Exit | null> {
  const beganMs = performance.now()
  const answersMax = answers() + pointAnswersMax
  for (;;) {
    const exit = await Promise.race([program.exited, after(20).then(() => null)])
    if (exit !== null || answers() >= answersMax || performance.now() - beganMs > pointMsMax) return exit
  }
}

async function end(node: CrashNode, afterMs: number): Promise<void> {
  await after(afterMs)
  await node.serving()?.stop('SIGKILL')
}

function shuffled(values: readonly string[], dice: Dice): string[] {
  const order = [...values]
  for (let index = order.length - 1; index > 0; index--) {
    const other = dice.below(index + 1)
    ;[order[index], order[other]] = [order[other] ?? '', order[index] ?? '']
  }
  return order
}
