import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {KurrentDBClient} from '@kurrent/kurrentdb-client'
import {afterAll, beforeAll} from 'vitest'
import {startEmbeddedNode} from '../../src/embedded-node/node.ts'

/**
 * A second client, made independently of the node: what one client forgives the other may not. The two clients cannot
 * live in one thread, as the code generated for both claims the same global names. Nothing here may import the other.
 *
 * Answers the client of a node that lives as long as the tests of the file.
 */
export function kurrentClient(): () => KurrentDBClient {
  let client: KurrentDBClient | null = null
  let stop = async (): Promise<void> => undefined
  beforeAll(async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'hourhand-kurrent-'))
    const node = await startEmbeddedNode({dataDir, host: '127.0.0.1'})
    const connected = KurrentDBClient.connectionString(`kurrentdb://127.0.0.1:${node.port}?tls=false`)
    client = connected
    stop = async () => {
      await connected.dispose()
      await node.close()
      await rm(dataDir, {recursive: true, force: true})
    }
  })
  afterAll(() => stop())
  return () => {
    if (client === null) throw new Error('the node has not started')
    return client
  }
}
