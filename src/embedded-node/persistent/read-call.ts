/** A consumer's call: it names its group, gets messages, and acknowledges or refuses them. */
import type {ReadReq} from '@eventstore/db-client/generated/persistent_pb.js'
import {type ServerDuplexStream, type ServiceError, status} from '@grpc/grpc-js'

import {burstWriter} from '../burst-writer.ts'
import {allow, userOf} from '../credentials.ts'
import {grpcError, groupError} from '../grpc-errors.ts'
import {BadMessage} from '../protobuf.ts'
import {type ReadContext, readsRefusal} from '../read-context.ts'
import {encodeConfirmation, encodeReadEvent} from '../read-messages.ts'
import type {Consumer} from './consumers.ts'
import type {Group, NackAction} from './group.ts'
import type {Hub} from './hub.ts'
import {keysOf, sourceOf} from './requests.ts'

type Call = ServerDuplexStream<ReadReq, Buffer>

interface Connection {
  readonly group: Group
  readonly consumer: Consumer
}

export function servePersistentRead(context: ReadContext, hub: Hub, call: Call): void {
  if (!allow(call, error => call.emit('error', error))) return
  const refusal = readsRefusal(context)
  if (refusal !== null) {
    call.emit('error', refusal)
    return
  }
  let connection: Connection | null = null
  let isOver = false

  const end = (): boolean => {
    if (isOver) return false
    isOver = true
    context.openReads.delete(fail)
    const open = connection
    connection = null
    if (open !== null) context.guard(() => open.group.disconnect(open.consumer))
    return true
  }
  const fail = (error: ServiceError): void => {
    if (end()) call.emit('error', error)
  }
  const take = (request: ReadReq): void => {
    if (connection !== null) return answer(connection, request)
    const connected = connect(hub, call, request, fail)
    if ('group' in connected) connection = isOver ? null : connected
    else fail(connected)
  }

  context.openReads.add(fail)
  call.on('data', (request: ReadReq) => {
    if (isOver) return
    try {
      context.guard(() => take(request))
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error
      fail(grpcError(status.INVALID_ARGUMENT, error.message))
    }
  })
  call.on('cancelled', end)
  call.on('close', end)
}

/** Fewest messages on their way that make sense; a client may ask for none. */
const SLOTS_MIN = 1

function connect(
  hub: Hub,
  call: Call,
  request: ReadReq,
  fail: (error: ServiceError) => void,
): Connection | ServiceError {
  const options = request.getOptions()
  if (options === undefined) throw new BadMessage('the first message names no group')
  const source = sourceOf(options)
  const group = hub.find(source, options.getGroupName())
  if (group instanceof Error) return group
  const writer = burstWriter(call)
  const form = options.getUuidOption()?.hasString() === true ? 'string' : 'structured'
  // The confirmation comes before the first message, and not at all when there are too many consumers.
  let isConfirmed = false
  const confirm = (): void => {
    if (!isConfirmed) writer.write(encodeConfirmation(group.key))
    isConfirmed = true
  }
  const consumer = group.connect(
    {
      send({event, link, retryCount}) {
        confirm()
        writer.write(encodeReadEvent(event, link, form, retryCount))
        if (writer.isFull()) writer.onRoom(() => group.advance())
      },
      isFull: () => writer.isFull(),
      fail,
    },
    userOf(call),
    String(call.metadata.get('connection-name')[0] ?? '<unknown>'),
    Math.max(options.getBufferSize(), SLOTS_MIN),
  )
  if (consumer === null) return groupError('maximum-subscribers-reached', source, options.getGroupName())
  confirm()
  return {group, consumer}
}

/** ReadReq.Nack.Action. Stopping is, in EventStoreDB, to be done with the message. */
const actions: readonly NackAction[] = ['retry', 'park', 'retry', 'skip', 'skip']

function answer({group}: Connection, request: ReadReq): void {
  const ack = request.getAck()
  if (ack !== undefined) return group.ack(keysOf(ack.getIdsList()))
  const nack = request.getNack()
  if (nack === undefined) throw new BadMessage('neither acknowledged nor refused')
  group.nack(keysOf(nack.getIdsList()), actions[nack.getAction()] ?? 'skip', nack.getReason())
}
