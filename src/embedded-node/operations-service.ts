/** The part of EventStoreDB's Operations service that has a meaning for one node: scavenging. */
import {OperationsService} from '@eventstore/db-client/generated/operations_grpc_pb.js'
import operationsPb, {
  type StartScavengeReq,
  type StopScavengeReq,
} from '@eventstore/db-client/generated/operations_pb.js'
import {type sendUnaryData, type Server, type ServerUnaryCall, status} from '@grpc/grpc-js'

import {allow} from './credentials.ts'
import {grpcError} from './grpc-errors.ts'
import type {Upkeep} from './upkeep.ts'

const {ScavengeResp} = operationsPb
type Response = InstanceType<typeof ScavengeResp>

export const operations = {
  startScavenge: OperationsService.startScavenge,
  stopScavenge: OperationsService.stopScavenge,
}

/** ScavengeResp.ScavengeResult */
const [STARTED, IN_PROGRESS, STOPPED] = [0, 1, 2] as const

export function addOperations(server: Server, upkeep: Upkeep): void {
  server.addService(operations, {
    startScavenge(call: ServerUnaryCall<StartScavengeReq, Response>, answer: sendUnaryData<Response>) {
      if (!allow(call, answer)) return
      const {id, isNew} = upkeep.begin()
      answer(null, responseOf(id, isNew ? STARTED : IN_PROGRESS))
    },
    stopScavenge(call: ServerUnaryCall<StopScavengeReq, Response>, answer: sendUnaryData<Response>) {
      if (!allow(call, answer)) return
      const id = call.request.getOptions()?.getScavengeId() ?? ''
      if (upkeep.stop(id)) return answer(null, responseOf(id, STOPPED))
      answer(
        grpcError(status.NOT_FOUND, 'Scavenge id was invalid.', {exception: 'scavenge-not-found', 'scavenge-id': id}),
      )
    },
  })
}

const responseOf = (id: string, result: 0 | 1 | 2): Response =>
  new ScavengeResp().setScavengeId(id).setScavengeResult(result)
