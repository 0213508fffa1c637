import {mkdtemp, rm} from 'node:fs/promises'
import {createServer, type Socket} from 'node:net'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {expect, onTestFinished, test} from 'vitest'
import {withQmp, type QmpSession} from '../../src/drivers/qmp.ts'
import {calm} from '../contract/driver-contract.ts'

const greeting = '{"QMP": {"version": {}, "capabilities": []}}\n'

/** A monitor that does to every connection what the test says. */
async function monitor(onConnection: (socket: Socket) => void): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hh-'))
  const path = join(folder, 'qmp')
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    // A client that hangs up in the middle of an answer is what some of these tests are about.
    socket.on('error', () => socket.destroy())
    onConnection(socket)
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
    await rm(folder, {recursive: true, force: true})
  })
  return path
}

/** Answers every command with what the test says; in pieces of three bytes, as a stream may. */
const answering = (answer: (command: string, id: number) => string) =>
  monitor(socket => {
    socket.write(greeting)
    socket.on('data', data => {
      for (const line of String(data).trim().split('\n')) {
        const {execute, id} = JSON.parse(line) as {execute: string; id: number}
        const text = execute === 'qmp_capabilities' ? `{"return": {}, "id": ${id}}\n` : answer(execute, id)
        for (let at = 0; at < text.length; at += 3) socket.write(text.slice(at, at + 3))
      }
    })
  })

const ask = (path: string, timeoutMs = 2000, signal = calm) =>
  withQmp(path, {timeoutMs, signal}, session => session.execute('query-status'))

test('greets, asks and answers; events in between are no answers', async () => {
  const path = await answering((_, id) => `{"event": "NOISE"}\n{"return": {"status": "running"}, "id": ${id}}\n`)
  expect(await ask(path)).toEqual({status: 'running'})
})

test('an event is seen whether it comes before or after one waits for it', async () => {
  const path = await answering((_, id) => `{"event": "RESET"}\n{"return": {}, "id": ${id}}\n{"event": "RESET"}\n`)
  const twice = async (session: QmpSession) => {
    await session.execute('system_reset')
    await session.event('RESET')
    await session.event('RESET')
    return 'seen twice'
  }
  expect(await withQmp(path, {timeoutMs: 2000, signal: calm}, twice)).toBe('seen twice')
})

test('what QEMU refuses is a conflict, what it does not know is unsupported', async () => {
  const path = await answering((command, id) => {
    const errorClass = command === 'stop' ? 'GenericError' : 'CommandNotFound'
    return `{"error": {"class": "${errorClass}", "desc": "no"}, "id": ${id}}\n`
  })
  await expect(ask(path)).rejects.toMatchObject({class: 'unsupported'})
  const stop = withQmp(path, {timeoutMs: 2000, signal: calm}, session => session.execute('stop'))
  await expect(stop).rejects.toMatchObject({class: 'conflict', message: 'QEMU refused stop: no'})
})

test.for([
  ['hangs up', (socket: Socket) => socket.destroy(), /hung up/],
  ['greets and hangs up', (socket: Socket) => socket.end(greeting), /hung up/],
  ['speaks something else', (socket: Socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'), /no sense/],
  ['speaks of another matter', (socket: Socket) => socket.write('{"hello": 1}\n'), /no sense/],
  ['sends a line without end', (socket: Socket) => socket.write('x'.repeat(3 * 1024 * 1024)), /no sense/],
] as const)('a monitor that %s is a transient fault', async ([, behave, message]) => {
  const path = await monitor(socket => void behave(socket))
  const fault = {name: 'DriverError', class: 'transient', message: expect.stringMatching(message)}
  await expect(ask(path, 20_000)).rejects.toMatchObject(fault)
})

test('answers to other questions are not taken for ours', async () => {
  const path = await answering((_, id) => `{"return": {"status": "running"}, "id": ${id + 1}}\n`)
  await expect(ask(path)).rejects.toMatchObject({class: 'transient'})
})

test('no socket at all and a silent one are transient faults within the time-out, and so is a caller who gives up', async () => {
  await expect(ask('/nowhere/qmp', 100)).rejects.toMatchObject({class: 'transient'})
  const silent = await monitor(() => undefined)
  await expect(ask(silent, 100)).rejects.toMatchObject({class: 'transient', message: expect.stringMatching(/in time/)})
  await expect(ask(silent, 60_000, AbortSignal.timeout(50))).rejects.toMatchObject({class: 'transient'})
})
