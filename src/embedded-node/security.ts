/** TLS and the one account of a node that others than this machine may reach. */
import {ServerCredentials, ServerInterceptingCall, type ServerInterceptor, status} from '@grpc/grpc-js'
import {createHash, timingSafeEqual} from 'node:crypto'
import {isIPv4} from 'node:net'

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

/** Refuses calls without the right `authorization`. What passes has none any more: nobody behind has to check again. */
export function requireAccount({username, password}: Security): ServerInterceptor {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  const expected = digest(`Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`)
  return (_method, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, pass) {
            const given = metadata.get('authorization')
            if (given.length !== 1 || !timingSafeEqual(digest(String(given[0])), expected)) {
              call.sendStatus({code: status.UNAUTHENTICATED, details: 'These credentials are not known here'})
              return
            }
            metadata.remove('authorization')
            pass(metadata)
          },
        })
      },
    })
}
