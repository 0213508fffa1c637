import {createHash} from 'node:crypto'
import type {Duplex} from 'node:stream'
import type {FastifyInstance} from 'fastify'
import {z} from 'zod'
import {HttpError, refusalOfStatus} from './errors.ts'

/** Turns a one-time sign-in token into a bearer token. */
export interface SignIn {
  redeemSignIn(
    token: string,
    requestId: string,
    arrivedAtMs: number,
  ): Promise<{readonly accessToken: string; readonly userId: string} | null>
}

const body = z.strictObject({token: z.string().min(1).max(8192)})

/**
 * `GET /sign-in#TOKEN` is the page behind a one-time link. The token stands behind the `#`, so it is in no log and no
 * Referer, and merely opening the link (a preview does) uses nothing up: the button posts it to `/sign-in`.
 */
export function mountSignIn(app: FastifyInstance, people: SignIn, arrivedAtMs: (connection: Duplex) => number): void {
  app.get('/sign-in', async (_request, reply) => {
    return reply
      .header('content-security-policy', `default-src 'none'; script-src 'sha256-${scriptHash}'; connect-src 'self'`)
      .type('text/html; charset=utf-8')
      .send(page)
  })
  app.post('/sign-in', async (request, reply) => {
    const arrivedMs = arrivedAtMs(request.raw.socket)
    const parsed = body.safeParse(request.body)
    const redeemed = parsed.success ? await people.redeemSignIn(parsed.data.token, request.id, arrivedMs) : null
    if (redeemed === null) {
      const message = 'This sign-in link is not valid, has expired, or was used before. Ask for a new one.'
      throw new HttpError({...refusalOfStatus(401), code: 'SIGN_IN_REFUSED', message})
    }
    return reply.header('cache-control', 'no-store').send(redeemed)
  })
}

const script = `
const at = id => document.getElementById(id)
const say = text => { at('say').textContent = text }
// Another link opened in the same tab differs behind the # only, for which browsers do not load the page again.
addEventListener('hashchange', () => location.reload())
at('go').addEventListener('click', async () => {
  at('go').disabled = true
  try {
    const answer = await fetch('/sign-in', {
      method: 'POST',
      headers: {'content-type': 'application/json'},
      body: JSON.stringify({token: location.hash.slice(1)}),
    })
    const result = await answer.json()
    at('go').disabled = answer.ok || !result.retryable
    if (!answer.ok) return say(result.message)
    history.replaceState(null, '', '/sign-in')
    at('go').remove()
    say('You are signed in. In GraphiQL, put this into the Headers tab; it is valid for 15 minutes:')
    at('token').value = JSON.stringify({Authorization: 'Bearer ' + result.accessToken})
    at('token').hidden = false
    at('token').select()
  } catch {
    at('go').disabled = false
    say('Hourhand cannot be reached. Try again.')
  }
})`

const scriptHash = createHash('sha256').update(script).digest('base64')

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sign in to Hourhand</title>
<h1>Hourhand</h1>
<p id="say">This link signs you in once.</p>
<button id="go">Sign in</button>
<p><textarea id="token" rows="8" cols="80" readonly hidden aria-label="Headers for GraphiQL"></textarea></p>
<p><a href="/graphql">GraphiQL</a></p>
<script>${script}</script>
</html>
`
