import type {Tokens} from './access/tokens.ts'
import type {Config} from './config.ts'
import {ownerId} from './dispatch/people.ts'

/** What a person who starts a node wants to know: where it is, what is off, and how to get in. */
export function bannerOf(config: Config, dataFolder: string, url: string, tokens: Tokens): readonly string[] {
  const publicUrl = publicUrlOf(config, url)
  const isDevelopment = config.environment === 'development'
  const events = config.store.type === 'external' ? ' (events: in the store of EVENTSTORE_URL)' : ''
  const discord =
    config.discord === null
      ? 'off; set DISCORD_TOKEN and DISCORD_APPLICATION_ID to turn it on'
      : 'configured, but not a part of this version yet'
  return [
    `Hourhand is ready: ${publicUrl}/graphql`,
    ...(publicUrl === url ? [] : [`  listens   ${url}`]),
    `  data      ${dataFolder}${events}`,
    `  Discord   ${discord}`,
    `  payments  by hand: an operator marks a checkout paid`,
    ...(isDevelopment ? developmentLines(publicUrl, tokens) : []),
  ]
}

function developmentLines(publicUrl: string, tokens: Tokens): readonly string[] {
  return [
    '  fleet     simulated, for trying things out',
    `  sign in   ${signInLink(publicUrl, tokens)}`,
    `            as the owner, once, within ${signInMinutes} minutes`,
  ]
}

/**
 * A one-time link for the owner. It is signed with the node's own secrets and redeemed by the running node, so making
 * one needs no store, and it can be made before the first start or while the node runs.
 */
export function signInLink(publicUrl: string, tokens: Tokens): string {
  return `${publicUrl}/sign-in#${tokens.issueSignIn({userId: ownerId, ttlSeconds: signInMinutes * 60}).token}`
}

export const signInMinutes = 15

/** Where users reach the node. A port that the system picked is not in the configuration. */
function publicUrlOf({http: {port, publicUrl}}: Config, url: string): string {
  return port === 0 ? url : publicUrl
}
