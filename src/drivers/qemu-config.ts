import {createHash} from 'node:crypto'
import {isAbsolute, join, normalize} from 'node:path'
import {z} from 'zod'

/** `sun_path` holds 108 bytes with its closing NUL (unix(7)). */
const socketPathBytesMax = 107
/** What `machineFiles` adds to the folder: a slash, the key and the longest suffix of a socket. */
const socketNameBytes = 1 + 16 + '.console'.length
export const runDirBytesMax = socketPathBytesMax - socketNameBytes

// oxlint-disable-next-line no-control-regex -- control characters are what is refused
const printable = /^[^\u0000-\u001f\u007f]*$/

const absolutePath = z
  .string()
  .min(2)
  .max(4096)
  .regex(printable, 'must be printable text')
  .refine(path => isAbsolute(path) && normalize(path) === path && !path.endsWith('/'), {
    message: 'must be an absolute path without . or .. and without a slash at its end',
  })

/** What an operator says about one QEMU machine. Every text reaches QEMU as data: no shell, no option syntax. */
export const qemuConfigSchema = z.strictObject({
  /** A name found in the system folders, or an absolute path; only QEMU's own system emulators. */
  binary: z
    .string()
    .max(4096)
    .regex(/^(?:qemu-system-[a-z0-9_]+|\/(?:[^/]+\/)*qemu-system-[a-z0-9_]+)$/, 'must be a qemu-system-… program')
    .refine(path => normalize(path) === path && printable.test(path), 'must be a plain path')
    .default('qemu-system-x86_64'),
  /** `tcg` runs everywhere; `kvm` is faster, but a device node that opens may still abort. */
  accelerator: z.enum(['tcg', 'kvm']).default('tcg'),
  kernel: absolutePath,
  initrd: absolutePath,
  /** The kernel's command line. */
  append: z.string().max(2000).regex(printable, 'must be printable text').default('console=ttyS0 quiet panic=-1'),
  memoryMiB: z.int().min(32).max(1_048_576),
  processors: z.int().min(1).max(64).default(1),
  disk: absolutePath.optional(),
  /** Always said, never guessed: a guest that writes a header into a raw disk must not make it something else. */
  diskFormat: z.enum(['qcow2', 'raw']).default('qcow2'),
  /** Where pidfile, sockets and console logs live; one folder may serve many machines. */
  runDir: absolutePath
    .refine(path => Buffer.byteLength(path) <= runDirBytesMax, {
      message: `must be at most ${runDirBytesMax} bytes long: unix sockets live in it`,
    })
    .refine(path => !path.includes(','), 'must not contain a comma'),
  /** The console line that says the machine is ready, from its first to its last character; `*` stands for any text. */
  readyPattern: z.string().min(1).max(200).regex(printable, 'must be printable text').default('READY*'),
})

export type QemuConfig = z.infer<typeof qemuConfigSchema>

/** The files of one machine. Named by a hash, so that an id can hold any text and the names stay short. */
export interface MachineFiles {
  readonly runDir: string
  readonly key: string
  readonly pid: string
  readonly qmp: string
  readonly hmp: string
  readonly console: string
  /** From where in which log the console speaks of the present boot; see `qemu-console.ts`. */
  readonly mark: string
}

export function machineFiles(runDir: string, machineId: string): MachineFiles {
  const key = createHash('sha256').update(machineId).digest('hex').slice(0, 16)
  const base = join(runDir, key)
  return {
    runDir,
    key,
    pid: `${base}.pid`,
    qmp: `${base}.qmp`,
    hmp: `${base}.hmp`,
    console: `${base}.console`,
    mark: `${base}.mark`,
  }
}
