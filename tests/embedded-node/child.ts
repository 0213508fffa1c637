/** A process of its own that runs a node, to be killed. Arguments: the data folder, the port. */
import {DataFolderInUse, startEmbeddedNode} from '../../src/embedded-node/node.ts'

process.stdin.once('end', () => process.exit()).resume()
const [dataDir = '', port = '0'] = process.argv.slice(2)
try {
  const node = await startEmbeddedNode({dataDir, host: '127.0.0.1', ...(port === '0' ? {} : {port: Number(port)})})
  console.log(`ready ${node.port}`)
  console.log(`failed ${(await node.failed).message}`)
} catch (error) {
  console.log(error instanceof DataFolderInUse ? 'in use' : String(error))
}
