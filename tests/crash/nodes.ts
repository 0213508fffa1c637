import {createHash, createSecretKey, randomUUID} from 'node:crypto'
import {createTokens, type Tokens} from '../../src/access/tokens.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {instantFromMs} from '../../src/kernel/time.ts'
import {programHome, type Environment, type Exit, type RunningProgram} from '../support/program.ts'
import type {Preloaded} from './preload.ts'

/** A wall clock that can jump ahead: while a program is down, minutes pass in no time. */
export interface TestClock {
  nowMs(): number
  aheadMs(): number
  jump(ms: number): void
}

export function testClock(): TestClock {
  let ahead = 0
  return {
    nowMs: () => Date.now() + ahead,
    aheadMs: () => ahead,
    jump(ms) {
      ahead += ms
    },
  }
}

/** One Hourhand program with its data folder, started and killed many times. */
export interface CrashNode {
  readonly name: string
  readonly dataFolder: string
  /** Null while it does not serve. */
  serving(): RunningProgram | null
  /** Starts it; answers how long it took until it was ready, or how it ended before that. */
  start(options?: StartOptions): Promise<Started>
  /** What it printed in its present life, or in its last one. */
  printed(): string
  close(): Promise<void>
}

export interface StartOptions {
  readonly dieAt?: Preloaded['dieAt']
  readonly bugs?: Preloaded['bugs']
  readonly environment?: Environment
}

export type Started =
  | {readonly isReady: true; readonly readyMs: number; readonly program: RunningProgram}
  | {readonly isReady: false; readonly exit: Exit}

export interface NodeParts {
  readonly name: string
  readonly clock: TestClock
  readonly parkUrl: string
  readonly environment?: Environment
  /** Default: one of its own, removed at the end. */
  readonly dataFolder?: string
}

/** The same for all nodes: they share a store, so they must share its secrets. */
const secretOf = (name: string): Buffer => createHash('sha384').update(`crash ${name}`).digest()
const tokenSecret = secretOf('tokens').toString('base64')

/** Minutes are the unit of everything here: no test can wait for hours. */
const everyday: Environment = {
  HOURHAND_TOKEN_SECRETS: `crash:${tokenSecret}`,
  HOURHAND_MASTER_KEY: secretOf('master').subarray(0, 32).toString('hex'),
  HOURHAND_BOOKING_STEP_MINUTES: '1',
  HOURHAND_BOOKING_MINUTES_MIN: '1',
  HOURHAND_WARMUP_MINUTES: '1',
  HOURHAND_TURNAROUND_MINUTES: '0',
}

const preload = new URL('./preload.ts', import.meta.url).href

export async function crashNode({name, clock, parkUrl, environment = {}, dataFolder}: NodeParts): Promise<CrashNode> {
  const home = await programHome()
  let serving: RunningProgram | null = null
  let printed = (): string => ''
  return {
    name,
    dataFolder: dataFolder ?? home.dataFolder,
    serving: () => serving,
    printed: () => printed(),
    async start(options = {}) {
      const told: Preloaded = {
        clockAheadMs: clock.aheadMs(),
        parkUrl,
        node: name,
        ...(options.bugs === undefined ? {} : {bugs: options.bugs}),
        ...(options.dieAt === undefined ? {} : {dieAt: options.dieAt}),
      }
      const beganMs = performance.now()
      const program = home.launch({
        ...everyday,
        ...(dataFolder === undefined ? {} : {HOURHAND_DATA: dataFolder}),
        ...environment,
        ...options.environment,
        NODE_OPTIONS: `--import ${preload}`,
        CRASH_TEST: JSON.stringify(told),
      })
      printed = () => program.printed()
      const ended = program.exited.then(exit => {
        serving = null
        return {isReady: false, exit} as const
      })
      const ready = program.untilPrinted(/^Hourhand is ready: (.+)\/graphql$/m).then(
        match => match,
        () => null,
      )
      const first = await Promise.race([ready, ended])
      if (first === null) return ended
      if ('isReady' in first) return first
      const [, listens = first[1] ?? ''] = /^ {2}listens +(\S+)$/m.exec(program.printed()) ?? []
      const running: RunningProgram = {...program, url: listens}
      serving = running
      return {isReady: true, readyMs: performance.now() - beganMs, program: running}
    },
    close: () => home.close(),
  }
}

/** Tokens as the nodes issue them, by the clock of the tests. */
export function tokensOf(clock: TestClock): Tokens {
  const keys = [{kid: 'crash', secret: createSecretKey(Buffer.from(tokenSecret))}]
  return createTokens({
    keys,
    issuer: 'hourhand',
    audience: 'hourhand',
    clock: {now: () => instantFromMs(clock.nowMs())},
    ids: {uuid: () => randomUUID()},
  })
}

export const ownerId = idOf<'User'>('owner')
