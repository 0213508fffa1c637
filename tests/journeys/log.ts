import {join} from 'node:path'
import {startEmbeddedNode} from '../../src/embedded-node/node.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'

/** The types of the events in each stream of a data folder's log, in order. No program may work in the folder. */
export async function eventTypesIn(
  dataFolder: string,
  streams: readonly string[],
): Promise<Readonly<Record<string, readonly string[]>>> {
  const node = await startEmbeddedNode({dataDir: join(dataFolder, 'events'), host: '127.0.0.1'})
  const store = connectEventStore(node.connectionString)
  try {
    const found: Record<string, readonly string[]> = {}
    for (const stream of streams) {
      const events = await store.readStream(stream, {maxCount: 1000})
      found[stream] = (events ?? []).map(({type, data}) => labelOf(type, data))
    }
    return found
  } finally {
    await store.close()
    await node.close()
  }
}

/** A power command is told by what it commands. */
function labelOf(type: string, data: unknown): string {
  const op: unknown = typeof data === 'object' && data !== null && 'op' in data ? data.op : undefined
  return typeof op === 'string' ? `${type}: ${op}` : type
}
