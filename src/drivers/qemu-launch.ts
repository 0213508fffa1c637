import {execFile} from 'node:child_process'
import {constants} from 'node:fs'
import {access, mkdir, stat} from 'node:fs/promises'
import {getuid} from 'node:process'
import {promisify} from 'node:util'
import {plainLine} from './console-line.ts'
import {DriverError} from './port.ts'
import type {MachineFiles, QemuConfig} from './qemu-config.ts'
import {newLogPath} from './qemu-console.ts'
import {findProcess, identifyingArguments} from './qemu-process.ts'

/**
 * Starts QEMU in the background; resolves once its sockets are there. Two starts at once give one machine: QEMU locks its
 * pidfile before it touches anything else, so the loser ends without a trace.
 */
export async function launch(config: QemuConfig, files: MachineFiles, signal: AbortSignal): Promise<void> {
  await checkFiles(config)
  await prepareRunDir(files.runDir)
  const args = qemuArguments(config, files, await newLogPath(files))
  try {
    await promisify(execFile)(config.binary, args, {
      signal,
      timeout: launchTimeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: 64 * 1024,
      // Nothing of this program's environment, which holds secrets, is handed on to a process that others can inspect.
      env: {PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C'},
    })
  } catch (error) {
    if (signal.aborted) throw new DriverError('transient', 'the start was given up')
    if ((await findProcess(files)) !== null) return
    throw launchFault(error as ExecFault)
  }
}

const launchTimeoutMs = 20_000

/** Exported for its test: what QEMU is told, with every configured text as data. */
export function qemuArguments(config: QemuConfig, files: MachineFiles, logPath: string): readonly string[] {
  return [
    identifyingArguments(files, logPath),
    ['-daemonize', '-nodefaults', '-no-user-config', '-display', 'none'],
    ['-name', `hourhand-${files.key}`],
    ['-machine', 'q35'],
    ['-accel', config.accelerator === 'tcg' ? 'tcg,tb-size=32' : 'kvm'],
    ['-m', `${config.memoryMiB}M`],
    ['-smp', String(config.processors)],
    ['-serial', 'chardev:console'],
    ['-chardev', `socket,id=monitor,path=${files.qmp},server=on,wait=off`],
    ['-mon', 'chardev=monitor,mode=control'],
    ['-chardev', `socket,id=status,path=${files.hmp},server=on,wait=off`],
    ['-mon', 'chardev=status,mode=readline'],
    ['-device', 'virtio-balloon-pci,id=balloon,guest-stats-polling-interval=2'],
    ['-kernel', config.kernel, '-initrd', config.initrd, '-append', config.append],
    config.disk === undefined ? [] : diskArguments(config.disk, config.diskFormat),
  ].flat()
}

/** JSON, because in QEMU's own option syntax a comma in a path would begin another option. */
function diskArguments(filename: string, format: QemuConfig['diskFormat']): readonly string[] {
  const node = {driver: format, 'node-name': 'disk', file: {driver: 'file', filename}}
  return ['-blockdev', JSON.stringify(node), '-device', 'virtio-blk-pci,drive=disk']
}

async function checkFiles(config: QemuConfig): Promise<void> {
  for (const field of ['kernel', 'initrd', 'disk'] as const) {
    const path = config[field]
    if (path === undefined) continue
    try {
      await access(path, field === 'disk' ? constants.R_OK | constants.W_OK : constants.R_OK)
    } catch {
      throw new DriverError('permanent', `the machine's ${field} file is missing or not accessible`)
    }
  }
}

/** Whoever can write into the folder can put a monitor of their own in place of the machine's. */
async function prepareRunDir(runDir: string): Promise<void> {
  await mkdir(runDir, {recursive: true, mode: 0o700})
  const {mode, uid} = await stat(runDir)
  if ((mode & 0o022) !== 0 || (getuid !== undefined && uid !== getuid())) {
    throw new DriverError('permanent', 'the runDir must belong to this program and be writable by nobody else')
  }
}

interface ExecFault {
  readonly code?: string | number | null
  readonly killed?: boolean
  readonly stderr?: string
}

function launchFault({code, killed, stderr = ''}: ExecFault): DriverError {
  if (code === 'ENOENT') return new DriverError('permanent', 'QEMU is not installed: its program was not found')
  if (code === 'EACCES') return new DriverError('permanent', 'the QEMU program cannot be executed')
  if (killed === true) return new DriverError('transient', 'QEMU did not start in time')
  // The run before is still ending, or a start elsewhere took the pidfile and failed afterwards.
  if (/lock pid ?file/i.test(stderr)) return new DriverError('transient', 'another QEMU holds the pidfile')
  if (/get "?(write|shared|consistent read)/i.test(stderr)) {
    return new DriverError('conflict', 'the disk is in use by another process')
  }
  if (typeof code === 'string' || /cannot (set up guest memory|allocate)|resource temporarily/i.test(stderr)) {
    return new DriverError('transient', 'the host lacks the resources to start QEMU')
  }
  const lastLine = plainLine(stderr.trim().split('\n').at(-1) ?? '').slice(0, 200)
  return new DriverError('permanent', `QEMU refused to start: ${lastLine}`)
}
