import {execFile, spawn} from 'node:child_process'
import {once} from 'node:events'
import {appendFile, chmod, mkdir, readFile, rm, stat, writeFile} from 'node:fs/promises'
import {connect} from 'node:net'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {afterAll, beforeAll, describe, expect, onTestFinished, test} from 'vitest'
import type {MachineDriver} from '../../src/drivers/port.ts'
import {machineFiles} from '../../src/drivers/qemu-config.ts'
import {qemuKind} from '../../src/drivers/qemu.ts'
import {withQmp} from '../../src/drivers/qmp.ts'
import {calm, faultOf, until, untilOff, untilReady} from '../contract/driver-contract.ts'
import {missingForGuests} from '../support/qemu-guest.ts'
import {qemuRig, type QemuRig} from '../support/qemu-guest-rig.ts'

describe.skipIf((await missingForGuests()) !== null)('real machines', () => {
  let rig: QemuRig
  beforeAll(async () => {
    rig = await qemuRig()
  })
  afterAll(async () => {
    await rig.close()
  })

  const open = (settings: Readonly<Record<string, unknown>> = {}) => {
    const machineId = rig.newMachineId()
    const config = {...rig.config, ...settings}
    const driver = rig.kind.open(machineId, config)
    onTestFinished(() => driver.kill(calm))
    return {machineId, config, driver, files: machineFiles(rig.runDir, machineId)}
  }
  const openReady = async (settings: Readonly<Record<string, unknown>> = {}) => {
    const machine = open(settings)
    await machine.driver.start(calm)
    await untilReady(rig, machine.driver)
    return {...machine, pid: await onlyPid(machine.machineId)}
  }
  const onlyPid = async (machineId: string) => {
    const pids = await rig.pidsOf(machineId)
    expect(pids).toHaveLength(1)
    return pids[0] ?? 0
  }
  const untilConsoleSays = (machineId: string, line: string) =>
    until(rig, async () => ((await rig.consoleOf(machineId)).split('\n').includes(line) ? line : null))
  const isOn = async (driver: MachineDriver) => (await driver.observe(calm)).power === 'on'

  describe('guests that misbehave', () => {
    test('one that hangs at boot is on and never ready; stops are lost on it, a kill is not', async () => {
      const {machineId, driver} = open({append: 'console=ttyS0 quiet hangboot'})
      await driver.start(calm)
      await untilConsoleSays(machineId, 'HANG')
      expect(await driver.observe(calm)).toEqual({power: 'on', ready: false})
      await driver.stop(calm)
      expect(await driver.observe(calm)).toEqual({power: 'on', ready: false})
      await driver.kill(calm)
      expect(await rig.pidsOf(machineId)).toEqual([])
    })

    test('one that ignores the power button stays on through every stop; a kill ends it', async () => {
      const {machineId, driver, pid} = await openReady({append: 'console=ttyS0 quiet noacpid'})
      for (const _ of [1, 2, 3]) await driver.stop(calm)
      await driver.sendConsole('say still here', calm)
      await untilConsoleSays(machineId, '[Server] still here')
      expect(await rig.pidsOf(machineId)).toEqual([pid])
      await driver.kill(calm)
      expect(await rig.pidsOf(machineId)).toEqual([])
    })

    test('a powerdown sent before the guest listens is lost; sent again later it is heard', async () => {
      const {machineId, driver} = open({append: 'console=ttyS0 quiet slowboot'})
      await driver.start(calm)
      await untilConsoleSays(machineId, 'BOOT')
      await driver.stop(calm)
      await driver.sendConsole('go', calm)
      await untilReady(rig, driver)
      expect(await rig.pidsOf(machineId)).toHaveLength(1)
      expect(await rig.consoleOf(machineId)).not.toContain('ACPI-POWEROFF')
      await driver.stop(calm)
      await untilOff(rig, driver)
      expect(await rig.consoleOf(machineId)).toContain('ACPI-POWEROFF')
      expect(await rig.pidsOf(machineId)).toEqual([])
    })

    test('one that switches itself off is observed as off', async () => {
      const {machineId, driver} = await openReady()
      await driver.sendConsole('stop', calm)
      await untilOff(rig, driver)
      expect(await rig.pidsOf(machineId)).toEqual([])
    })

    test('one that is paused has power and is not ready; set going, it is ready again', async () => {
      const {driver, files} = await openReady()
      const ask = (command: string) =>
        withQmp(files.qmp, {timeoutMs: 3000, signal: calm}, session => session.execute(command))
      await ask('stop')
      expect(await driver.observe(calm)).toEqual({power: 'on', ready: false})
      await ask('cont')
      expect(await driver.observe(calm)).toEqual({power: 'on', ready: true})
    })

    test('one that prints without end has its log cut, stays ready and can still be read', async () => {
      const {machineId, driver} = await openReady()
      const log = await rig.logPathOf(machineId)
      await appendFile(log, 'noise\n'.repeat(1_500_000))
      expect(await driver.observe(calm)).toEqual({power: 'on', ready: true})
      expect((await stat(log)).size).toBeLessThan(1000)
      expect(await driver.observe(calm)).toEqual({power: 'on', ready: true})
      await driver.sendConsole('say after', calm)
      await until(rig, async () => ((await driver.logs(1, calm))[0] === '[Server] after' ? true : null))
    })

    test('escape sequences in what it prints do not reach the reader of its logs', async () => {
      const {driver} = await openReady()
      await driver.sendConsole(String.raw`sh printf "\033[31mred\033[0m\007 \033]0;title\007end\n"`, calm)
      await until(rig, async () => ((await driver.logs(1, calm))[0] === 'EXIT 0' ? true : null))
      const [line] = await driver.logs(2, calm)
      expect(line).toMatch(/^red .*end$/)
      // oxlint-disable-next-line no-control-regex -- control characters are what must not be there
      expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/)
    })
  })

  describe('what killed processes and other programs leave behind', () => {
    test('a QEMU killed from outside is off, and its sockets, pidfile and log do not disturb the next run', async () => {
      const {machineId, driver, pid, files} = await openReady()
      process.kill(pid, 'SIGKILL')
      await untilOff(rig, driver)
      for (const leftover of [files.pid, files.qmp, files.console]) await stat(leftover)
      await driver.start(calm)
      expect(await driver.observe(calm)).toEqual({power: 'on', ready: false})
      expect(await rig.consoleOf(machineId)).not.toContain('READY')
      await untilReady(rig, driver)
      expect(await onlyPid(machineId)).not.toBe(pid)
    })

    test('a pidfile that names a stranger is not believed, and the stranger is left alone', async () => {
      const stranger = spawn('sleep', ['600'])
      onTestFinished(() => void stranger.kill())
      const {driver, files} = open()
      await mkdir(rig.runDir, {recursive: true})
      await writeFile(files.pid, `${stranger.pid}\n`)
      expect(await driver.observe(calm)).toEqual({power: 'off'})
      await driver.kill(calm)
      expect(stranger.exitCode ?? stranger.signalCode).toBeNull()
      await driver.start(calm)
      expect(await isOn(driver)).toBe(true)
    })

    test('a running machine whose files were swept away is still on, is not started twice and can be killed', async () => {
      const {machineId, driver, pid, files} = await openReady()
      for (const path of [files.pid, files.qmp, files.hmp, files.console]) await rm(path)
      await driver.start(calm)
      expect(await rig.pidsOf(machineId)).toEqual([pid])
      expect(await driver.observe(calm)).toMatchObject({power: 'unreachable'})
      await driver.kill(calm)
      expect(await rig.pidsOf(machineId)).toEqual([])
    })

    test('with the monitor taken by somebody else nobody can tell; afterwards one can', async () => {
      const {machineId, driver, config, files} = await openReady()
      const hurried = qemuKind({monitorTimeoutMs: 200}).open(machineId, config)
      const squatters = [connect(files.qmp), connect(files.hmp)]
      await Promise.all(squatters.map(squatter => once(squatter, 'data')))
      expect(await hurried.observe(calm)).toEqual({
        power: 'unreachable',
        reason: 'the QEMU monitor did not answer in time',
      })
      expect(await faultOf(() => hurried.stop(calm))).toBe('transient')
      for (const squatter of squatters) squatter.destroy()
      await untilReady(rig, driver)
    })

    test('a frozen QEMU is unreachable, not off, and a kill ends it', async () => {
      const {machineId, config, pid} = await openReady()
      const hurried = qemuKind({monitorTimeoutMs: 200}).open(machineId, config)
      process.kill(pid, 'SIGSTOP')
      expect(await hurried.observe(calm)).toMatchObject({power: 'unreachable'})
      await hurried.kill(calm)
      expect(await rig.pidsOf(machineId)).toEqual([])
    })
  })

  test('machines outlive the program that started them, and two programs that start one give one', async () => {
    const {machineId, config, driver} = open()
    const program = `
      const {qemuKind} = await import(${JSON.stringify(import.meta.resolve('../../src/drivers/qemu.ts'))})
      const [machineId, config] = JSON.parse(process.argv[1])
      await qemuKind().open(machineId, config).start(new AbortController().signal)`
    const args = ['--input-type=module', '--eval', program, JSON.stringify([machineId, config])]
    await Promise.all([1, 2].map(() => promisify(execFile)(process.execPath, args)))
    await untilReady(rig, driver)
    expect(await rig.pidsOf(machineId)).toHaveLength(1)
    expect(await rig.readyCount(machineId)).toBe(1)
  })

  describe('configured text stays data', () => {
    test('the kernel line reaches the guest letter by letter, and the environment does not', async () => {
      process.env.HOURHAND_TEST_SECRET = 'swordfish'
      onTestFinished(() => void delete process.env.HOURHAND_TEST_SECRET)
      const append = `console=ttyS0 quiet x=$(id),id=y;-pidfile '/z' --daemonize`
      const {machineId, driver, pid} = await openReady({append})
      await driver.sendConsole('sh cat /proc/cmdline', calm)
      await untilConsoleSays(machineId, append)
      expect(await readFile(`/proc/${pid}/environ`, 'utf8')).not.toContain('swordfish')
    })

    test('a ready pattern is text with stars, matched against whole lines', async () => {
      const {machineId, driver} = open({readyPattern: '[*] Done (*s)! For help*'})
      await driver.start(calm)
      await untilConsoleSays(machineId, (await until(rig, () => readyLine(machineId))) ?? '')
      await driver.sendConsole('say almost Done (1.2s)! For help', calm)
      await driver.sendConsole('say so', calm)
      await untilConsoleSays(machineId, '[Server] so')
      expect(await driver.observe(calm)).toEqual({power: 'on', ready: false})
      await driver.sendConsole('say Done (3.4s)! For help, type "help"', calm)
      await untilReady(rig, driver)
    })
    const readyLine = async (machineId: string) => /^READY .*$/m.exec(await rig.consoleOf(machineId))?.[0] ?? null

    test('a disk with a comma in its path is that disk, its use is told, and it serves one machine only', async () => {
      const disk = join(rig.runDir, 'disk,if=none,readonly=on.qcow2')
      await promisify(execFile)('qemu-img', ['create', '-q', '-f', 'qcow2', disk, '64M'])
      const {machineId, driver} = await openReady({disk})
      await driver.sendConsole('sh cat /sys/block/vda/size /sys/block/vda/ro', calm)
      await untilConsoleSays(machineId, 'EXIT 0')
      expect(await rig.consoleOf(machineId)).toContain('131072\n0\nEXIT 0')
      expect((await driver.resources(calm)).diskBytes).toBeGreaterThan(0)
      const second = open({disk})
      expect(await faultOf(() => second.driver.start(calm))).toBe('conflict')
      expect(await rig.pidsOf(second.machineId)).toEqual([])
    })
  })

  test('memory is what the guest itself says it uses', async () => {
    const {machineId, driver} = await openReady()
    const told = await until(rig, async () => {
      const {memoryBytes} = await driver.resources(calm)
      return memoryBytes !== null && memoryBytes < 64 * 1024 * 1024 ? memoryBytes : null
    })
    await driver.sendConsole('sh free', calm)
    await untilConsoleSays(machineId, 'EXIT 0')
    const free = /^Mem: +(\d+) .* (\d+)$/m.exec(await rig.consoleOf(machineId))
    const usedBytes = (Number(free?.[1]) - Number(free?.[2])) * 1024
    expect(Math.abs(told - usedBytes)).toBeLessThan(4 * 1024 * 1024)
  })

  describe('starts that cannot work say so at once', () => {
    test.for([
      ['a kernel that is not there', {kernel: '/nowhere/vmlinuz'}, /kernel file/],
      ['a disk that is not there', {disk: '/nowhere/disk'}, /disk file/],
      ['a QEMU that is not there', {binary: '/nowhere/qemu-system-x86_64'}, /not installed/],
      ['a kernel that is none', {kernel: import.meta.filename}, /QEMU refused to start/],
    ] as const)('%s', async ([, settings, message]) => {
      const {machineId, driver} = open(settings)
      await expect(driver.start(calm)).rejects.toMatchObject({
        class: 'permanent',
        message: expect.stringMatching(message),
      })
      expect(await driver.observe(calm)).toEqual({power: 'off'})
      expect(await rig.pidsOf(machineId)).toEqual([])
    })

    test('a run folder that others can write into', async () => {
      const runDir = join(rig.runDir, 'open')
      await mkdir(runDir)
      await chmod(runDir, 0o777)
      const {driver} = open({runDir})
      expect(await faultOf(() => driver.start(calm))).toBe('permanent')
    })
  })
})

describe('configuration', () => {
  const good = {kernel: '/boot/vmlinuz', initrd: '/boot/initrd', memoryMiB: 512, runDir: '/run/hourhand'}
  const faultsOf = (settings: Record<string, unknown>) => {
    const parsed = qemuKind().parseConfig({...good, ...settings})
    return parsed.ok ? [] : [...new Set(parsed.faults.map(({field}) => field))]
  }

  test('takes a kernel, an initramfs, memory and a run folder, and fills in the rest', () => {
    expect(qemuKind().parseConfig(good)).toEqual({
      ok: true,
      config: {
        ...good,
        accelerator: 'tcg',
        append: 'console=ttyS0 quiet panic=-1',
        binary: 'qemu-system-x86_64',
        diskFormat: 'qcow2',
        processors: 1,
        readyPattern: 'READY*',
      },
    })
  })

  test.for([
    ['kernel', 'vmlinuz'],
    ['kernel', '/boot/../etc/shadow'],
    ['kernel', '/boot/vm\u0000linuz'],
    ['initrd', '/boot/'],
    ['disk', 'nbd:localhost:10809'],
    ['disk', 'json:{"driver":"nbd"}'],
    ['diskFormat', 'vvfat'],
    ['binary', '/bin/sh'],
    ['binary', 'sh'],
    ['binary', '/tmp/qemu-system-x86_64/../../bin/sh'],
    ['append', 'console=ttyS0\nquiet'],
    ['memoryMiB', 0],
    ['memoryMiB', 128.5],
    ['memoryMiB', '128'],
    ['processors', 0],
    ['runDir', '/run/a,logfile=/etc/passwd'],
    ['runDir', 'run'],
    ['readyPattern', ''],
    ['accelerator', 'xen'],
  ] as const)('refuses %s %j and names the field', ([field, value]) => {
    expect(faultsOf({[field]: value})).toEqual([field])
  })

  test('refuses a run folder in which a socket path would not fit, by bytes and not by letters', () => {
    const longest = `/${'a'.repeat(81)}`
    expect(Buffer.byteLength(machineFiles(longest, 'any id').console)).toBe(107)
    expect(faultsOf({runDir: longest})).toEqual([])
    expect(faultsOf({runDir: `${longest}a`})).toEqual(['runDir'])
    expect(faultsOf({runDir: `/${'é'.repeat(41)}`})).toEqual(['runDir'])
  })

  test('a stored configuration that does not hold is refused when the machine is opened', () => {
    expect(() => qemuKind().open('m', {...good, kernel: 'vmlinuz'})).toThrow(/kernel/)
  })

  test('machine ids never become path text', () => {
    for (const id of ['../../etc', 'a/b', 'a,b', '', '\u0000', 'x'.repeat(10_000)]) {
      expect(machineFiles('/run/h', id).pid).toMatch(/^\/run\/h\/[0-9a-f]{16}\.pid$/)
    }
  })
})
