import {execFile} from 'node:child_process'
import {createHash} from 'node:crypto'
import {constants} from 'node:fs'
import {access, mkdir, mkdtemp, readFile, rename, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {delimiter, join} from 'node:path'
import {promisify} from 'node:util'

/** A kernel and an initramfs that behave like a game server; see `build-qemu-guest.sh` for what the guest understands. */
export interface Guest {
  readonly kernel: string
  readonly initrd: string
}

/**
 * Builds the guest from Debian packages, once per version of the script: a few seconds, then kept in a cache folder.
 * Safe when two test files build at the same time: each builds aside and the first rename wins.
 */
export async function buildGuest(): Promise<Guest> {
  const script = join(import.meta.dirname, 'build-qemu-guest.sh')
  const version = createHash('sha256')
    .update(await readFile(script))
    .digest('hex')
    .slice(0, 12)
  const cache = join(tmpdir(), `hourhand-guest-${version}`)
  const guest = {kernel: join(cache, 'vmlinuz'), initrd: join(cache, 'initrd.gz')}
  if (await isThere(guest.initrd)) return guest
  const draft = await mkdtemp(join(tmpdir(), 'hourhand-guest-draft-'))
  try {
    await promisify(execFile)('bash', [script, join(draft, 'guest')], {timeout: 150_000, maxBuffer: 1024 * 1024})
    await rename(join(draft, 'guest'), cache)
  } catch (error) {
    // Another test file finished first: its guest is as good as ours.
    if (!(await isThere(guest.initrd))) throw error
  } finally {
    await rm(draft, {recursive: true, force: true})
  }
  return guest
}

/**
 * What this computer lacks to run real guests, as a sentence; null when nothing is missing. Without them the tests of
 * real machines cannot run: on a build server (`CI` is set) that is a failure, elsewhere they are left out, and say why.
 */
export async function missingForGuests(): Promise<string | null> {
  const needed = ['qemu-system-x86_64', 'qemu-img', 'apt-get', 'dpkg-deb', 'bash']
  const missing: string[] = []
  for (const program of needed) if (!(await isInPath(program))) missing.push(program)
  if (missing.length === 0) return null
  const reason =
    `real machines need ${missing.join(', ')}: on Debian, ` +
    'apt-get update && apt-get install -y --no-install-recommends qemu-system-x86 qemu-utils'
  if (process.env.CI !== undefined && process.env.CI !== '') throw new Error(reason)
  console.warn(`left out: ${reason}`)
  return reason
}

/** A fresh folder with a path short enough for unix sockets. */
export async function shortRunDir(): Promise<string> {
  await mkdir(tmpdir(), {recursive: true})
  return mkdtemp(join(tmpdir(), 'hh-'))
}

async function isInPath(program: string): Promise<boolean> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    if (await isThere(join(folder, program), constants.X_OK)) return true
  }
  return false
}

async function isThere(path: string, mode = constants.R_OK): Promise<boolean> {
  try {
    await access(path, mode)
    return true
  } catch {
    return false
  }
}
