import {readFile} from 'node:fs/promises'
import {setTimeout as after} from 'node:timers/promises'
import type {TcpProxy} from '../support/tcp-proxy.ts'
import type {Dice} from '../simulation/dice.ts'
import {userIdOf, type Call} from './client.ts'
import {ownerId, type CrashNode} from './nodes.ts'
import {untilHeld, untilKnown, type Scene} from './several.ts'

const minuteMs = 60_000
/** Far enough ahead that nobody's time has come when all is over. */
const wishLeadMinutes = 30 * 24 * 60

/**
 * The lease holder stands still for longer than its lease lasts; another takes over, and then it goes on. What it finds
 * in its sockets then was given up long ago.
 */
export async function freezeHolder(scene: Scene): Promise<void> {
  const holder = await untilHeld(scene)
  const wish = await wishOfNewcomer(scene)
  const program = holder.serving()
  if (program === null) throw new Error(`${holder.name} holds the lease and does not serve`)
  process.kill(program.pid, 'SIGSTOP')
  scene.say(`${holder.name} stands still`)
  try {
    await Promise.all([takeOver(scene, holder), goElsewhere(scene, holder, wish)])
    // What the new holder does now, the old one must not do again when it comes to.
    await untilAnswered(scene)
  } finally {
    process.kill(program.pid, 'SIGCONT')
  }
  scene.say(`${holder.name} goes on`)
  await untilBack(program.url)
  await untilAnswered(scene)
}

/** A booking of somebody whom all nodes know, and who has no hours. */
async function wishOfNewcomer({client, nodes}: Scene): Promise<Call> {
  const key = `newcomer-${client.sent.size}`
  const input = {displayName: key, roles: ['CUSTOMER']}
  const newcomer: Call = {key, userId: ownerId, mutation: 'registerUser', input, fields: 'user { id }'}
  const answer = await client.send(newcomer, AbortSignal.timeout(minuteMs))
  const userId = userIdOf((answer as unknown as {user: {id: string}}).user.id)
  await untilKnown(nodes, client, [userId])
  const start = new Date((Math.floor(Date.now() / minuteMs) + wishLeadMinutes) * minuteMs).toISOString()
  const place = {serviceId: 'ENCH', realmId: 'EU', start, minutes: 60}
  return {key: `${key}-books`, userId, mutation: 'book', input: place, fields: 'booking { id status }'}
}

/**
 * Asks the node that stands still, gives up, is refused by another, and then gets what was missing. Were the first request
 * carried out after that, there would be a booking that its customer was told there is not.
 */
async function goElsewhere(scene: Scene, holder: CrashNode, wish: Call): Promise<void> {
  const {client} = scene
  const other = scene.nodes.find(node => node !== holder && node.serving() !== null)
  const early = await client.sendOnce(wish, holder)
  if (early !== null) scene.report(`${holder.name} stood still and answered ${JSON.stringify(early)}`)
  const answer = await client.send(wish, AbortSignal.timeout(minuteMs), other)
  if (answer?.__typename !== 'InsufficientHours') scene.report(`${wish.key} was answered ${JSON.stringify(answer)}`)
  const input = {userId: wish.userId, minutes: 600, reason: 'to book after all'}
  const gift: Call = {key: `${wish.key}-gift`, userId: ownerId, mutation: 'grantHours', input, fields: ''}
  await client.send(gift, AbortSignal.timeout(minuteMs), other)
  scene.say(`${wish.key} was given up at ${holder.name} and refused at ${other?.name}`)
}

/**
 * The same, when the first node was started to stand still at a point of its own: right where it has decided to act. It
 * must find out by itself that its time is over.
 */
export async function thawFirst(scene: Scene): Promise<void> {
  const [holder] = scene.nodes
  const program = holder?.serving()
  if (holder === undefined || program === null || program === undefined)
    throw new Error('the first node does not serve')
  await untilStopped(program.pid)
  scene.say(`${holder.name} stands still`)
  await takeOver(scene, holder)
  await untilAnswered(scene)
  const before = scene.park.commands.length
  process.kill(program.pid, 'SIGCONT')
  // Its timers, and what it was about to do, come before it answers anybody.
  await untilBack(program.url)
  await untilAnswered(scene)
  const late = scene.park.commands.slice(before).filter(({by}) => by === holder.name)
  if (late.length > 0) scene.report(`${holder.name} acted when it had lost the lease: ${JSON.stringify(late)}`)
}

async function untilStopped(pid: number): Promise<void> {
  const limit = AbortSignal.timeout(60_000)
  for (;;) {
    const status = await readFile(`/proc/${pid}/stat`, 'utf8')
    // proc(5): the state comes after the name in brackets; T is stopped by a signal.
    if (status.slice(status.lastIndexOf(')') + 2).startsWith('T')) return
    limit.throwIfAborted()
    await after(20)
  }
}

/** A program that stood still runs again. */
async function untilBack(url: string): Promise<void> {
  const {status} = await fetch(`${url}/health/live`, {signal: AbortSignal.timeout(60_000)})
  if (status !== 200) throw new Error(`${url} does not live: ${status}`)
}

/** The lease holder dies, or leaves in order, and comes back when another has taken over. */
export async function endHolder(scene: Scene, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  const holder = await untilHeld(scene)
  const ended = holder.serving()?.stop(signal)
  scene.say(`${holder.name} gets ${signal}`)
  await takeOver(scene, holder)
  await ended
  await untilAnswered(scene)
  await scene.start(holder)
}

/** What can befall a connection between a node and the store, each for some seconds at most. */
const wireFaults = {
  async 'requests are lost'(proxy: TcpProxy): Promise<void> {
    proxy.hold('requests')
    await after(300)
    proxy.cut()
    proxy.release()
  },
  async 'replies are lost'(proxy: TcpProxy): Promise<void> {
    proxy.hold('replies')
    await after(300)
    proxy.cut()
    proxy.release()
  },
  async 'a reply is cut in the middle'(proxy: TcpProxy, dice: Dice): Promise<void> {
    proxy.cutAfterReplyBytes(1 + dice.below(20_000))
    await after(300)
  },
  /** The client believes in a connection that nobody serves: it has to find out by itself. */
  async 'half-open'(proxy: TcpProxy): Promise<void> {
    proxy.hold('replies')
    await after(12_000)
    proxy.cut()
    proxy.release()
  },
  async slow(proxy: TcpProxy): Promise<void> {
    for (let stutter = 0; stutter < 8; stutter++) {
      proxy.hold('replies')
      await after(150)
      proxy.release()
      await after(30)
    }
  },
  async cut(proxy: TcpProxy): Promise<void> {
    proxy.cut()
    await after(100)
  },
} as const

export type WireFault = keyof typeof wireFaults
export const allWireFaults = Object.keys(wireFaults) as readonly WireFault[]

/** One fault after the other, each between one node and the store, with a moment of peace in between. */
export async function cutWires(scene: Scene, faults: readonly WireFault[]): Promise<void> {
  for (const fault of faults) {
    const index = scene.dice.below(scene.proxies.length)
    const proxy = scene.proxies[index]
    if (proxy === undefined) throw new Error('there is no proxy')
    scene.say(`${scene.nodes[index]?.name}: ${fault}`)
    await wireFaults[fault](proxy, scene.dice)
    await untilAnswered(scene)
  }
}

/** Until so many more requests were answered: a fault that nobody meets proves nothing. */
async function untilAnswered({client}: Scene): Promise<void> {
  const enough = client.acknowledged.length + 20
  const limit = AbortSignal.timeout(60_000)
  while (client.acknowledged.length < enough) {
    limit.throwIfAborted()
    await after(20)
  }
}

/** The store itself dies and is started again on its data. */
export async function killStore(scene: Scene): Promise<void> {
  const {server} = scene
  scene.say('the store is killed')
  await server.stop('SIGKILL')
  await server.start()
  await untilAnswered(scene)
}

async function takeOver(scene: Scene, former: CrashNode): Promise<void> {
  const beganMs = performance.now()
  const next = await untilHeld(scene, former)
  const tookMs = performance.now() - beganMs
  scene.tookOver(tookMs)
  scene.say(`${next.name} has the lease after ${Math.round(tookMs)} ms`)
}
