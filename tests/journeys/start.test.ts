import {stat} from 'node:fs/promises'
import {connect} from 'node:net'
import {text} from 'node:stream/consumers'
import {afterAll, beforeAll, describe, expect, onTestFinished, test} from 'vitest'
import {programHome, type ProgramHome, type RunningProgram} from '../support/program.ts'
import {again, apiOf, redeem, registerUser, signInOwner, signInTokenOf, type Api} from './api.ts'

const freshHome = async (): Promise<ProgramHome> => {
  const home = await programHome()
  onTestFinished(() => home.close())
  return home
}

const balance = `{ viewer { id displayName balance { availableMinutes heldMinutes } } }`

async function customerWithHour(program: RunningProgram, owner: Api): Promise<Api> {
  const customer = await registerUser(program, owner, 'Ada')
  const hour = {userId: customer.userId, minutes: 60, reason: 'a gift'}
  expect(await owner.change('grantHours', hour)).toMatchObject({__typename: 'GrantHoursSuccess'})
  return customer
}

describe('started on an empty data folder, the program', () => {
  let home: ProgramHome
  let program: RunningProgram
  beforeAll(async () => {
    home = await programHome()
    program = await home.start()
  })
  afterAll(() => home.close())

  test('says where it is, where data is, what is off and how to turn it on, and how to sign in, and no more', () => {
    expect(program.printed().replaceAll(/#eyJ[\w.-]+/g, '#TOKEN')).toBe(
      [
        `Hourhand is ready: ${program.url}/graphql`,
        `  data      ${home.dataFolder}`,
        '  Discord   off; set DISCORD_TOKEN and DISCORD_APPLICATION_ID to turn it on',
        '  payments  by hand: an operator marks a checkout paid',
        '  fleet     simulated, for trying things out',
        `  sign in   ${program.url}/sign-in#TOKEN`,
        '            as the owner, once, within 15 minutes',
        '',
      ].join('\n'),
    )
  })

  test('is live and ready', async () => {
    const states = await Promise.all(['live', 'ready'].map(name => fetch(`${program.url}/health/${name}`)))
    expect(states.map(({status}) => status)).toEqual([200, 200])
  })

  test('answers GraphQL with the catalogue, and shows GraphiQL to a browser', async () => {
    const nobody = apiOf(program, null)
    const {services, packs} = await nobody.ask<{services: {id: string}[]; packs: {minutes: number}[]}>(
      '{ services { id } packs { minutes } }',
    )
    expect(services.map(({id}) => id)).toEqual(['Service:BO', 'Service:BOSS', 'Service:ENCH', 'Service:KD'])
    expect(packs.map(({minutes}) => minutes)).toEqual([600, 1500, 3000])
    const page = await fetch(`${program.url}/graphql`, {headers: {accept: 'text/html'}})
    expect(page.headers.get('content-type')).toMatch('text/html')
    expect(await page.text()).toMatch(/graphiql/i)
  })

  test('signs the owner in once with its link, which opening the page does not use up', async () => {
    const token = signInTokenOf(program)
    for (const _ of [1, 2]) {
      const page = await fetch(`${program.url}/sign-in`)
      expect(page.status).toBe(200)
    }
    const owner = await signInOwner(program)
    expect(await owner.ask('{ viewer { id roles } }')).toEqual({
      viewer: {id: 'User:owner', roles: ['CUSTOMER', 'OPERATOR', 'OWNER']},
    })
    const second = await redeem(program, token)
    expect(second.status).toBe(401)
    expect(await second.json()).toMatchObject({code: 'SIGN_IN_REFUSED', retryable: false})
  })
})

describe('asked to end, the program', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)('by %s, exits with 0', async name => {
    const home = await freshHome()
    const program = await home.start()
    expect(await program.stop(name)).toEqual({code: 0, signal: null})
  })

  test('takes two signals that come together for one: npm passes on what the terminal has sent already', async () => {
    const home = await freshHome()
    const program = await home.start()
    program.signal('SIGINT')
    expect(await program.stop('SIGINT')).toEqual({code: 0, signal: null})
  })

  test('answers the request that is under way, ends subscriptions, and takes no new ones', async () => {
    const home = await freshHome()
    const program = await home.start()
    const owner = await signInOwner(program)
    const changes = await owner.watch('subscription { balanceChanged { availableMinutes } }')
    await changes.until(() => true)
    const request = await requestUnderWay(program, '{"query": "{ packs { id } }"}')
    const ended = program.stop('SIGTERM')
    await program.untilPrinted(/^Stopping/m)
    const answer = await request.finish()
    expect(answer).toMatch(/^HTTP\/1.1 200 /)
    expect(answer).toContain('"Pack:pack-10h"')
    expect(await ended).toEqual({code: 0, signal: null})
    await expect(changes.until(() => false)).rejects.toThrow('This node stops. Subscribe again.')
    expect(program.printed()).not.toContain('connections cut')
    await expect(fetch(`${program.url}/health/live`)).rejects.toThrow('fetch failed')
  })
})

/** A request whose headers the server has taken and whose body is still to come. */
async function requestUnderWay(program: RunningProgram, body: string): Promise<{finish(): Promise<string>}> {
  const {hostname, port, host} = new URL(program.url)
  const socket = connect({host: hostname, port: Number(port)})
  const head = ['POST /graphql HTTP/1.1', `host: ${host}`, 'content-type: application/json', 'expect: 100-continue']
  socket.write([...head, `content-length: ${Buffer.byteLength(body)}`, '', ''].join('\r\n'))
  const goOn = await new Promise<Buffer>(resolve => socket.once('data', resolve))
  expect(goOn.toString()).toMatch(/^HTTP\/1.1 100 /)
  return {
    finish() {
      socket.write(body)
      return text(socket)
    },
  }
}

describe('started again on the same data folder, the program', () => {
  test('goes on where it stopped: users, tokens, balances, used links, and the prices the owner has set', async () => {
    const home = await freshHome()
    const first = await home.start()
    const usedLink = signInTokenOf(first)
    const owner = await signInOwner(first)
    const customer = await customerWithHour(first, owner)
    const price = {amountMinor: 1234, currency: 'USD'}
    await owner.change('listService', {serviceId: 'ENCH', name: 'Enchanting', pricePerHour: price})
    const before = await customer.ask(balance)
    await first.stop()

    const second = await home.start()
    expect(await again(second, customer).ask(balance)).toEqual(before)
    expect(before).toMatchObject({viewer: {displayName: 'Ada', balance: {availableMinutes: 60, heldMinutes: 0}}})
    expect(
      await apiOf(second, null).ask('{ node(id: "Service:ENCH") { ... on Service { pricePerHour { amountMinor } } } }'),
    ).toEqual({
      node: {pricePerHour: {amountMinor: 1234}},
    })
    expect((await redeem(second, usedLink)).status).toBe(401)
    expect((await signInOwner(second)).userId).toBe(owner.userId)
  })

  test('while another works in it, is refused with what to do; right after that one was killed, it is not', async () => {
    const home = await freshHome()
    const first = await home.start()
    const second = home.launch()
    expect(await second.exited).toEqual({code: 1, signal: null})
    expect(second.printed()).toBe(
      `Another process works in ${home.dataFolder}. Stop it, or set HOURHAND_DATA to another folder.\n`,
    )
    expect((await fetch(`${first.url}/health/ready`)).status).toBe(200)
    await first.stop('SIGKILL')
    const third = await home.start()
    expect((await fetch(`${third.url}/health/ready`)).status).toBe(200)
  })
})

describe('a start that cannot succeed ends with 1 and a sentence that says why', () => {
  test('when the port is taken', async () => {
    const home = await freshHome()
    const {port} = new URL((await home.start()).url)
    const other = await freshHome()
    const late = other.launch({HOURHAND_PORT: port})
    expect(await late.exited).toEqual({code: 1, signal: null})
    expect(late.printed()).toBe(`Port ${port} is in use. Set HOURHAND_PORT to another one.\n`)
  })

  test('when the data folder is none', async () => {
    const home = await freshHome()
    const dataFolder = '/proc/version/data'
    const program = home.launch({HOURHAND_DATA: dataFolder})
    expect(await program.exited).toEqual({code: 1, signal: null})
    expect(program.printed()).toMatch(/^The data folder \/proc\/version\/data cannot be used \(ENOTDIR\)\. .+\n$/)
  })

  test('when the command is not known', async () => {
    const home = await freshHome()
    const program = home.launch({}, 'rebiuld')
    expect(await program.exited).toEqual({code: 1, signal: null})
    expect(program.printed()).toMatch(/^There is no command rebiuld\. There are: .+\n$/)
    await expect(stat(home.dataFolder)).rejects.toThrow('ENOENT')
  })
})

describe('the command rebuild', () => {
  test('folds the read models again, to the same answers; not while a node works in the folder', async () => {
    const home = await freshHome()
    const first = await home.start()
    const customer = await customerWithHour(first, await signInOwner(first))
    const early = home.launch({}, 'rebuild')
    expect(await early.exited).toEqual({code: 1, signal: null})
    expect(early.printed()).toMatch(/^Another process works in /)
    const before = await customer.ask(balance)
    await first.stop()

    const rebuild = home.launch({}, 'rebuild')
    expect(await rebuild.exited).toEqual({code: 0, signal: null})
    expect(rebuild.printed()).toMatch(/^rebuilt \d+ read models from \d+ events\n$/)
    expect(await again(await home.start(), customer).ask(balance)).toEqual(before)
  })
})
