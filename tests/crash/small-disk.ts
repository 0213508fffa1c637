import {execFile} from 'node:child_process'
import {mkdtemp, open, rm, statfs} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'

/** A disk of its own for a data folder, so small that it can be filled. */
export interface SmallDisk {
  readonly folder: string
  /** Takes every byte that is left. */
  fill(): Promise<void>
  /** Gives back what `fill` took. */
  free(): Promise<void>
  close(): Promise<void>
}

const run = promisify(execFile)
const chunk = Buffer.alloc(64 * 1024)

/**
 * A tmpfs of its own where that may be mounted, else the small one that containers have for shared memory.
 * @throws when there is neither: a test that cannot run must not pass
 */
export async function smallDisk(mebibytes: number): Promise<SmallDisk> {
  const own = await mkdtemp(join(tmpdir(), 'hourhand-small-'))
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', own]).catch(() => null)
  if (mounted === null) await rm(own, {recursive: true})
  const folder = mounted === null ? await mkdtemp(join(await sharedMemory(), 'hourhand-small-')) : own
  const ballast = join(folder, 'ballast')
  return {
    folder,
    async fill() {
      const file = await open(ballast, 'a')
      try {
        for (let size = chunk.length; size >= 1;) {
          try {
            await file.write(chunk, 0, size)
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
            size = Math.floor(size / 2)
          }
        }
      } finally {
        await file.close()
      }
    },
    free: () => rm(ballast, {force: true}),
    async close() {
      if (mounted !== null) await run('umount', ['--lazy', folder])
      await rm(folder, {recursive: true, force: true})
    },
  }
}

const sharedMemoryBytesMax = 1024 ** 3

async function sharedMemory(): Promise<string> {
  const folder = '/dev/shm'
  const found = await statfs(folder).catch(() => null)
  if (found !== null && found.bavail * found.bsize <= sharedMemoryBytesMax) return folder
  throw new Error('a full disk can be tested only with the right to mount a tmpfs (as root), or with a small /dev/shm')
}
