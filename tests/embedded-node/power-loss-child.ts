/**
 * A node under load in a process that is traced. Each acknowledged append becomes a line of a file, written by a system
 * call after the answer came. Arguments: the data folder, the storage, how many appends, the file.
 */
import {openSync, writeSync} from 'node:fs'

import {startEmbeddedNode} from '../../src/embedded-node/node.ts'
import type {Storage} from '../../src/embedded-node/log-file.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import {newEvent} from '../support/store-events.ts'

const [dataDir = '', storage = 'durable', count = '0', ackFile = ''] = process.argv.slice(2)
const acks = openSync(ackFile, 'w')
const node = await startEmbeddedNode({
  dataDir,
  host: '127.0.0.1',
  storage: storage as Storage,
  // Several checkpoints in a short run.
  checkpointEveryBytes: 400_000,
})
const store = connectEventStore(node.connectionString)
let left = Number(count)
const writer = async (stream: string): Promise<void> => {
  while (left-- > 0) {
    const number = left
    const events = Array.from({length: 1 + (number % 3)}, (_, index) => newEvent(index))
    const {revision, position} = await store.append(stream, 'any', events)
    const ids = events.map(event => event.id).join(',')
    writeSync(acks, `${stream} ${revision} ${position.commit} ${ids}\n`)
    // So that the node scavenges meanwhile.
    if (number % 50 === 0) {
      await store.append(`gone-${number}`, 'noStream', [newEvent(1), newEvent(2), newEvent(3)])
      await store.deleteStream(`gone-${number}`, 'any')
    }
  }
}
await Promise.all(Array.from({length: 12}, (_, index) => writer(`s-${index}`)))
// As a power cut ends it: nothing is closed.
process.kill(process.pid, 'SIGKILL')
