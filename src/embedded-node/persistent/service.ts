/** The PersistentSubscriptions service: groups are created, changed, asked about and removed here. */
import {PersistentSubscriptionsService} from '@eventstore/db-client/generated/persistent_grpc_pb.js'
import persistentPb, {
  type CreateReq,
  type DeleteReq,
  type GetInfoReq,
  type ListReq,
  type ReadReq,
  type ReplayParkedReq,
  type UpdateReq,
} from '@eventstore/db-client/generated/persistent_pb.js'
import sharedPb from '@eventstore/db-client/generated/shared_pb.js'
import {
  type sendUnaryData,
  type Server,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceError,
  status,
} from '@grpc/grpc-js'

import {allow, userOf} from '../credentials.ts'
import {grpcError, groupError} from '../grpc-errors.ts'
import {BadMessage} from '../protobuf.ts'
import type {ReadContext} from '../read-context.ts'
import type {Group} from './group.ts'
import type {Hub} from './hub.ts'
import {infoOf} from './info.ts'
import {servePersistentRead} from './read-call.ts'
import {nameOf, parseCreate, parseUpdate, sourceOf} from './requests.ts'
import {ALL} from './settings.ts'

const {CreateResp, UpdateResp, DeleteResp, ReplayParkedResp, GetInfoResp, ListResp} = persistentPb

export function addPersistentSubscriptions(server: Server, context: ReadContext, hub: Hub): void {
  const bytesAsTheyAre = (bytes: Buffer): Buffer => bytes
  const service = {
    ...PersistentSubscriptionsService,
    read: {...PersistentSubscriptionsService.read, responseSerialize: bytesAsTheyAre},
  }
  server.addService(service, {
    create: unary(context, async (request: CreateReq, user) => {
      refuse(await hub.create(parseCreate(request), user))
      return new CreateResp()
    }),
    update: unary(context, async (request: UpdateReq, user) => {
      refuse(await hub.update(parseUpdate(request), user))
      return new UpdateResp()
    }),
    delete: unary(context, async (request: DeleteReq, user) => {
      const options = given(request.getOptions())
      refuse(await hub.remove(sourceOf(options), options.getGroupName(), user))
      return new DeleteResp()
    }),
    getInfo: unary(context, (request: GetInfoReq) => {
      const group = named(hub, given(request.getOptions()))
      return new GetInfoResp().setSubscriptionInfo(infoOf(context.store, group))
    }),
    list: unary(context, (request: ListReq) => {
      const groups = listed(hub, given(request.getOptions()))
      return new ListResp().setSubscriptionsList(groups.map(group => infoOf(context.store, group)))
    }),
    replayParked: unary(context, (request: ReplayParkedReq) => {
      const options = given(request.getOptions())
      const group = named(hub, options)
      const stopAt = options.hasStopAt() ? Number(options.getStopAt()) : null
      if (stopAt !== null && stopAt < 0) {
        const {source, group: name} = group.definition
        throw refusal(groupError('failed', source, name, 'Cannot stop replaying parked message at a negative version.'))
      }
      group.replayParked(stopAt)
      return new ReplayParkedResp()
    }),
    restartSubsystem: unary(context, () => {
      hub.restart()
      return new sharedPb.Empty()
    }),
    read: (call: ServerDuplexStream<ReadReq, Buffer>) => servePersistentRead(context, hub, call),
  })
}

/** Thrown inside a unary call to answer it with an error. */
class Refusal extends Error {
  readonly error: ServiceError
  constructor(error: ServiceError) {
    super(error.message)
    this.error = error
  }
}
const refusal = (error: ServiceError): Refusal => new Refusal(error)

function refuse(error: ServiceError | null): void {
  if (error !== null) throw refusal(error)
}

function unary<Request, Reply>(
  context: ReadContext,
  serve: (request: Request, user: string) => Reply | Promise<Reply>,
): (call: ServerUnaryCall<Request, Reply>, answer: sendUnaryData<Reply>) => void {
  const run = async (call: ServerUnaryCall<Request, Reply>): Promise<Reply> => serve(call.request, userOf(call))
  return (call, answer) => {
    if (!allow(call, answer)) return
    run(call).then(
      reply => answer(null, reply),
      (error: unknown) => {
        if (error instanceof Refusal) return answer(error.error)
        if (error instanceof BadMessage) return answer(grpcError(status.INVALID_ARGUMENT, error.message))
        answer(grpcError(status.INTERNAL, 'The log cannot be read'))
        context.broken(error instanceof Error ? error : new Error(String(error)))
      },
    )
  }
}

function given<Options>(options: Options | undefined): Options {
  if (options === undefined) throw new BadMessage('the request has no options')
  return options
}

function named(hub: Hub, options: GetInfoReq.Options | ReplayParkedReq.Options): Group {
  const source = sourceOf(options)
  const group = hub.find(source, options.getGroupName())
  if (group instanceof Error) throw refusal(group)
  return group
}

/** Of one source, which must have a group, or all. */
function listed(hub: Hub, options: ListReq.Options): readonly Group[] {
  const one = options.getListForStream()
  if (one === undefined) return hub.list()
  const source = one.hasAll() ? ALL : nameOf(one.getStream())
  const groups = hub.list().filter(group => group.definition.source === source)
  if (groups.length === 0) throw refusal(groupError('does-not-exist', source, ''))
  return groups
}
