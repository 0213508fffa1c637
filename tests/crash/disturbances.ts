import {readFile} from 'node:fs/promises'
import {setTimeout as after} from 'node:timers/promises'
import type {CrashNode} from './nodes.ts'
import {untilHeld, type Scene} from './several.ts'

/** The lease holder stands still for longer than its lease lasts; another takes over, and then it goes on. */
export async function freezeHolder(scene: Scene): Promise<void> {
  const holder = await untilHeld(scene)
  const program = holder.serving()
  if (program === null) throw new Error(`${holder.name} holds the lease and does not serve`)
  process.kill(program.pid, 'SIGSTOP')
  scene.say(`${holder.name} stands still`)
  try {
    await takeOver(scene, holder)
    // What the new holder does now, the old one must not do again when it comes to.
    await after(500 + scene.dice.below(1_500))
  } finally {
    process.kill(program.pid, 'SIGCONT')
  }
  scene.say(`${holder.name} goes on`)
  await after(1_000)
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
  await after(500)
  const before = scene.park.commands.length
  process.kill(program.pid, 'SIGCONT')
  await after(1_500)
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

/** The lease holder dies, or leaves in order, and comes back when another has taken over. */
export async function endHolder(scene: Scene, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  const holder = await untilHeld(scene)
  const ended = holder.serving()?.stop(signal)
  scene.say(`${holder.name} gets ${signal}`)
  await takeOver(scene, holder)
  await ended
  await after(500)
  await scene.start(holder)
}

async function takeOver(scene: Scene, former: CrashNode): Promise<void> {
  const beganMs = performance.now()
  const next = await untilHeld(scene, former)
  const tookMs = performance.now() - beganMs
  scene.tookOver(tookMs)
  scene.say(`${next.name} has the lease after ${Math.round(tookMs)} ms`)
}
