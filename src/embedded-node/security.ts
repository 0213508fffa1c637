/** TLS and the one account of a node that others than this machine may reach. */
import {GossipService} from '@eventstore/db-client/generated/gossip_grpc_pb.js'
import {ServerFeaturesService} from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js'
import {ServerCredentials, ServerInterceptingCall, type ServerInterceptor, status} from '@grpc/grpc-js'
import {createHash, timingSafeEqual} from 'node:crypto'
import {isIPv4} from 'node:net'

import {ACCOUNT_HEADER} from './credentials.ts'

export interface Security {
  /** PEM. */
  readonly certificate: string
  /** PEM. */
  readonly privateKey: string
  readonly username: string
  readonly password: string
}

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))

export function serverCredentials(security: Security | undefined): ServerCredentials {
  if (security === undefined) return ServerCredentials.createInsecure()
  const {certificate, privateKey} = security
  return ServerCredentials.createSsl(null, [
    {cert_chain: Buffer.from(certificate), private_key: Buffer.from(privateKey)},
  ])
}

/** Clients ask these before they name anybody; they tell nothing of what is stored. */
const openMethods: readonly string[] = [GossipService.read.path, ServerFeaturesService.getSupportedMethods.path]

/** What clients ask before they say who they are; it tells nothing about what is stored. */
const openServices = /^\/event_store\.client\.(?:server_features\.ServerFeatures|gossip\.Gossip)\//

/**
 * Refuses calls without the right `authorization`. What passes has none any more, only the name of its account: nobody
 * behind has to check again.
 */
export function requireAccount({username, password}: Security): ServerInterceptor {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  const expected = digest(`Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`)
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, pass) {
            if (openServices.test(method.path)) return pass(metadata)
            const given = metadata.get('authorization')
            const isKnown = given.length === 1 && timingSafeEqual(digest(String(given[0])), expected)
            if (!isKnown && !openMethods.includes(method.path)) {
              call.sendStatus({code: status.UNAUTHENTICATED, details: 'These credentials are not known here'})
              return
            }
            metadata.remove('authorization')
            metadata.set(ACCOUNT_HEADER, username)
            pass(metadata)
          },
        })
      },
    })
}
