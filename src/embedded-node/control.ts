/**
 * The node's side door, HTTP on loopback: `/health` and `/stats` for whoever watches, and backups for whoever may read
 * the data folder, which is where the token is.
 */
import {createHash, randomBytes, timingSafeEqual} from 'node:crypto'
import {once} from 'node:events'
import {closeSync, openSync, renameSync, rmSync, writeFileSync} from 'node:fs'
import {createServer, type IncomingMessage, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'
import {isAbsolute, join} from 'node:path'

/** In the data folder while a node works there, readable for its owner only: `{url, token}`. */
export const CONTROL_FILE = 'control.json'

export interface Control {
  /** Without a slash at its end. */
  readonly url: string
  close(): Promise<void>
}

export interface ControlParts {
  readonly dataDir: string
  /** 0 takes a free one. */
  readonly port: number
  stats(): Readonly<Record<string, unknown>>
  backUp(file: string, progress: (donePages: number, totalPages: number) => void): Promise<void>
  notice(text: string): void
}

/** One line of the answer to a backup; the last one is `done` or `failed`. */
export type BackupLine =
  | {readonly type: 'progress'; readonly donePages: number; readonly totalPages: number}
  | {readonly type: 'done'}
  | {readonly type: 'failed'; readonly message: string}

const HOST = '127.0.0.1'
const BODY_BYTES_MAX = 10_000
const PROGRESS_EVERY_MS = 500

export async function openControl(parts: ControlParts): Promise<Control> {
  const token = randomBytes(32).toString('base64url')
  const server = createServer({requestTimeout: 10_000, headersTimeout: 10_000}, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      parts.notice(`the side door failed: ${error instanceof Error ? error.message : String(error)}`)
      response.destroy()
    })
  })
  server.maxConnections = 64
  let isBackingUp = false

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const {method, url, headers} = request
    // Pages in a browser may send requests here; their name for this host gives them away.
    if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(headers.host ?? '')) return say(response, 403, {error: 'forbidden'})
    if (method === 'GET' && url === '/health') return say(response, 200, {status: 'ok'})
    if (method === 'GET' && url === '/stats') return say(response, 200, parts.stats())
    if (method !== 'POST' || url !== '/backup') return say(response, 404, {error: 'there are /health and /stats'})
    if (!isSame(headers.authorization ?? '', `Bearer ${token}`)) return say(response, 401, {error: 'wrong token'})
    const file = fileOf(await bodyOf(request))
    if (file === null) return say(response, 400, {error: 'the body is not {"file": "/an/absolute/path"}'})
    if (isBackingUp) return say(response, 409, {error: 'another backup is being made'})
    isBackingUp = true
    try {
      await backUp(parts, file, response)
    } finally {
      isBackingUp = false
    }
  }

  server.listen(parts.port, HOST)
  await once(server, 'listening')
  const url = `http://${HOST}:${(server.address() as AddressInfo).port}`
  const file = join(parts.dataDir, CONTROL_FILE)
  writeFileSync(`${file}.new`, `${JSON.stringify({url, token})}\n`, {mode: 0o600})
  renameSync(`${file}.new`, file)
  return {
    url,
    async close() {
      rmSync(file, {force: true})
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

async function backUp(parts: ControlParts, file: string, response: ServerResponse): Promise<void> {
  try {
    // Made here, so that nothing that exists is ever overwritten, and only the owner can read it.
    closeSync(openSync(file, 'wx', 0o600))
  } catch (error) {
    return say(response, 400, {error: (error as Error).message})
  }
  response.writeHead(200, {'content-type': 'application/x-ndjson'})
  const tell = (line: BackupLine): void => void response.write(`${JSON.stringify(line)}\n`)
  let toldMs = -Infinity
  try {
    await parts.backUp(file, (donePages, totalPages) => {
      if (performance.now() - toldMs < PROGRESS_EVERY_MS) return
      toldMs = performance.now()
      tell({type: 'progress', donePages, totalPages})
    })
    parts.notice(`backed up into ${file}`)
    tell({type: 'done'})
  } catch (error) {
    rmSync(file, {force: true})
    const message = error instanceof Error ? error.message : String(error)
    parts.notice(`the backup into ${file} failed: ${message}`)
    tell({type: 'failed', message})
  }
  response.end()
}

function say(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, {'content-type': 'application/json', 'cache-control': 'no-store'})
  response.end(`${JSON.stringify(body)}\n`)
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request) {
    body += String(chunk)
    if (body.length > BODY_BYTES_MAX) return ''
  }
  return body
}

function fileOf(body: string): string | null {
  try {
    const {file} = JSON.parse(body) as {readonly file?: unknown}
    return typeof file === 'string' && isAbsolute(file) && !file.includes('\0') ? file : null
  } catch {
    // Not JSON: there is no file in it.
    return null
  }
}

function isSame(given: string, expected: string): boolean {
  const [a, b] = [given, expected].map(text => createHash('sha256').update(text).digest())
  return a !== undefined && b !== undefined && timingSafeEqual(a, b)
}
