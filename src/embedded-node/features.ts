/** The services that only tell about the node: ServerFeatures and Gossip. */
import {GossipService} from '@eventstore/db-client/generated/gossip_grpc_pb.js'
import {ServerFeaturesService} from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js'
import type {sendUnaryData, Server, ServiceDefinition} from '@grpc/grpc-js'
import {randomUUID} from 'node:crypto'

import {field} from './protobuf.ts'

/** The server whose behaviour the node follows; clients choose their calls by it. */
export const SERVER_VERSION = '24.10.0'

/** `/package.Service/Method` → the two names, in lower case. */
function namesOf(path: string): {readonly service: string; readonly method: string} {
  const [, service = '', method = ''] = path.toLowerCase().split('/')
  return {service, method}
}

/** Both kinds of persistent subscriptions are served; clients ask before they use either. */
const featuresOf = (service: string): readonly string[] => (service.includes('persistent') ? ['stream', 'all'] : [])

/** SupportedMethods {methods = 1 {method_name = 1, service_name = 2, features = 3}, event_store_server_version = 2}. */
export function addServerFeatures(server: Server, services: readonly ServiceDefinition[]): void {
  const methods = services
    .flatMap(service => Object.values(service))
    .map(({path}) => namesOf(path))
    .map(({service, method}) => {
      const features = featuresOf(service).map(feature => field(3, Buffer.from(feature)))
      return field(1, Buffer.concat([field(1, Buffer.from(method)), field(2, Buffer.from(service)), ...features]))
    })
  const reply = Buffer.concat([...methods, field(2, Buffer.from(SERVER_VERSION))])
  server.addService(
    {getSupportedMethods: {...ServerFeaturesService.getSupportedMethods, responseSerialize: (bytes: Buffer) => bytes}},
    {getSupportedMethods: (_call: unknown, answer: sendUnaryData<Buffer>) => answer(null, reply)},
  )
}

const LEADER = 8

/**
 * ClusterInfo {members = 1 {instance_id = 1, time_stamp = 2, state = 3, is_alive = 4, http_end_point = 5 {address = 1,
 * port = 2}}}: one node, its own leader.
 */
export function addGossip(server: Server, host: string, port: () => number, nowMs: () => number): void {
  const instanceId = field(2, Buffer.from(randomUUID()))
  const read = (_call: unknown, answer: sendUnaryData<Buffer>): void => {
    const endPoint = Buffer.concat([field(1, Buffer.from(host)), field(2, port())])
    // Ticks of 100 ns, of which no client uses more than the order.
    const parts = [field(1, instanceId), field(2, nowMs() * 10_000), field(3, LEADER), field(4, 1), field(5, endPoint)]
    answer(null, field(1, Buffer.concat(parts)))
  }
  server.addService({read: {...GossipService.read, responseSerialize: (bytes: Buffer) => bytes}}, {read})
}
