/** A thread that simulates one seed after another, as it is asked to. */
import {parentPort} from 'node:worker_threads'
import type {Task} from './seeds.ts'
import {simulate} from './simulation.ts'

if (parentPort === null) throw new Error('this is a thread of seeds.ts')
const port = parentPort
port.on('message', ({seed, days}: Task) => {
  simulate({seed, days}).then(
    history => port.postMessage(history, []),
    (error: unknown) => {
      // Ends the thread, with the reason.
      setImmediate(() => {
        throw error
      })
    },
  )
})
