import sharedPb from '@eventstore/db-client/generated/shared_pb.js'
import streamsPb from '@eventstore/db-client/generated/streams_pb.js'
import {expect, test} from 'vitest'

import {decodeAppendReq, decodeBatchAppendReq} from '../../src/embedded-node/append-messages.ts'
import {BadMessage} from '../../src/embedded-node/protobuf.ts'
import {type StoredEvent, TOMBSTONE_REVISION} from '../../src/embedded-node/records.ts'
import {encodeCheckpoint, encodeReadEvent} from '../../src/embedded-node/read-messages.ts'

/** The hand-written encoding held against the generated code of the client. */
const uuid = '0F0e0d0c-0b0a-4908-8706-050403020100'
const uuidBytes = Buffer.from(uuid.replaceAll('-', ''), 'hex')

function proposed(id: InstanceType<typeof sharedPb.UUID>, type: string) {
  const message = new streamsPb.BatchAppendReq.ProposedMessage()
  message.setId(id)
  message.getMetadataMap().set('content-type', 'application/json').set('type', type).set('unknown', 'x')
  message.setData(Buffer.from('{"a":1}'))
  message.setCustomMetadata(Uint8Array.from([0, 255]))
  return message
}

const identifier = (name: string) => new sharedPb.StreamIdentifier().setStreamName(Buffer.from(name))

function batch(...messages: readonly ReturnType<typeof proposed>[]): Buffer {
  const options = new streamsPb.BatchAppendReq.Options().setStreamIdentifier(identifier('größe-🐎'))
  options.setStreamPosition('4294967299')
  const request = new streamsPb.BatchAppendReq().setOptions(options).setIsFinal(true)
  request.setCorrelationId(new sharedPb.UUID().setString('correlation'))
  request.setProposedMessagesList([...messages])
  return Buffer.from(request.serializeBinary())
}

const stringId = (): InstanceType<typeof sharedPb.UUID> => new sharedPb.UUID().setString(uuid)

function structuredId(): InstanceType<typeof sharedPb.UUID> {
  const structured = new sharedPb.UUID.Structured()
  structured.setMostSignificantBits(String(uuidBytes.readBigInt64BE(0)))
  structured.setLeastSignificantBits(String(uuidBytes.readBigInt64BE(8)))
  return new sharedPb.UUID().setStructured(structured)
}

test('a batch append is read as the client writes it, with either form of ids', () => {
  const chunk = decodeBatchAppendReq(batch(proposed(stringId(), 'Eins'), proposed(structuredId(), 'Zwei')))
  expect(chunk).toMatchObject({
    options: {stream: 'größe-🐎', expected: 4294967299, deadlineMs: Infinity},
    problem: null,
    isFinal: true,
  })
  expect(chunk.events).toHaveLength(2)
  for (const [index, event] of chunk.events.entries()) {
    expect(event.type).toBe(['Eins', 'Zwei'][index])
    expect(event.isJson).toBe(true)
    expect(Buffer.from(event.id)).toEqual(uuidBytes)
    expect(Buffer.from(event.data).toString()).toBe('{"a":1}')
    expect([...event.metadata]).toEqual([0, 255])
  }
})

test.each([
  ['an id that is no UUID', proposed(new sharedPb.UUID().setString(`${uuid}0`), 'T'), 'UUID'],
  ['an id with a letter beyond f', proposed(new sharedPb.UUID().setString(uuid.replace('0F', '0G')), 'T'), 'UUID'],
  ['a type that is empty', proposed(stringId(), ''), 'type'],
  ['a type with a NUL', proposed(stringId(), 'a\0b'), 'NUL'],
])('%s is named, and the rest of the request is still read', (_name, message, problem) => {
  const chunk = decodeBatchAppendReq(batch(message))
  expect(chunk.problem).toContain(problem)
  expect(chunk.options?.stream).toBe('größe-🐎')
})

test('a message cut or changed anywhere is read or refused, never more than that', () => {
  const whole = batch(proposed(stringId(), 'Eins'), proposed(structuredId(), 'Zwei'))
  let refused = 0
  const attempt = (bytes: Buffer): void => {
    try {
      decodeBatchAppendReq(bytes)
      decodeAppendReq(bytes)
    } catch (error) {
      expect(error).toBeInstanceOf(BadMessage)
      refused++
    }
  }
  for (let length = 0; length < whole.length; length++) attempt(whole.subarray(0, length))
  for (let at = 0; at < whole.length; at++) {
    for (const byte of [0, 0x07, 0x7f, 0x80, 0xff]) attempt(Buffer.from(whole).fill(byte, at, at + 1))
  }
  expect(refused).toBeGreaterThan(whole.length)
})

const stored: StoredEvent = {
  id: uuidBytes,
  type: 'Übertragen',
  isJson: true,
  data: Buffer.from('{"a":"🐎"}'),
  metadata: Buffer.alloc(0),
  position: 2 ** 40 + 5,
  stream: 'größe-🐎',
  revision: 300,
  createdMs: 1_893_456_000_123,
}

test.each(['string', 'structured'] as const)('an event is written as the client reads it, with ids as %s', form => {
  for (const revision of [0, 127, 128, 2 ** 31, 2 ** 32 + 1, TOMBSTONE_REVISION]) {
    const bytes = encodeReadEvent({...stored, revision}, null, form)
    const read = streamsPb.ReadResp.deserializeBinary(new Uint8Array(bytes)).getEvent()
    const event = read?.getEvent()
    expect(read?.hasLink()).toBe(false)
    expect(read?.getCommitPosition()).toBe('1099511627781')
    expect(event?.toObject()).toMatchObject({
      streamRevision: revision === TOMBSTONE_REVISION ? '9223372036854775807' : String(revision),
      preparePosition: '1099511627781',
      commitPosition: '1099511627781',
      metadataMap: [
        ['content-type', 'application/json'],
        ['created', '18934560001230000'],
        ['type', 'Übertragen'],
      ],
    })
    expect(Buffer.from(event?.getData_asU8() ?? []).toString()).toBe('{"a":"🐎"}')
    expect(Buffer.from(event?.getStreamIdentifier()?.getStreamName_asU8() ?? []).toString()).toBe('größe-🐎')
    expect(event?.getId()?.toObject()).toEqual((form === 'string' ? lowerCaseId() : structuredId()).toObject())
  }
})

const lowerCaseId = (): InstanceType<typeof sharedPb.UUID> => new sharedPb.UUID().setString(uuid.toLowerCase())

test('a link comes with its event, or alone, at its own position', () => {
  const link = {...stored, type: '$>', isJson: false, position: 77}
  const both = streamsPb.ReadResp.deserializeBinary(new Uint8Array(encodeReadEvent(stored, link, 'string'))).getEvent()
  expect(both?.getEvent()?.getCommitPosition()).toBe('1099511627781')
  expect(both?.getLink()?.getCommitPosition()).toBe('77')
  expect(both?.getCommitPosition()).toBe('77')
  const alone = streamsPb.ReadResp.deserializeBinary(new Uint8Array(encodeReadEvent(null, link, 'string'))).getEvent()
  expect(alone?.hasEvent()).toBe(false)
  expect(alone?.getLink()?.getMetadataMap().get('content-type')).toBe('application/octet-stream')
})

test('a checkpoint carries both positions', () => {
  const read = streamsPb.ReadResp.deserializeBinary(new Uint8Array(encodeCheckpoint(300)))
  expect(read.getCheckpoint()?.toObject()).toEqual({commitPosition: '300', preparePosition: '300'})
})
