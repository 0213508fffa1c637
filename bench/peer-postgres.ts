import {execFile} from 'node:child_process'
import {access, chown, mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {getuid} from 'node:process'
import {promisify} from 'node:util'
import pg from 'pg'
import {bookBy, schemaSql, type BookingVariant} from './peer-postgres-booking.ts'

/**
 * The peer of the booking benchmark: what a competent team would write on PostgreSQL alone. A private PostgreSQL 15
 * cluster with durable commits (`fsync` and `synchronous_commit` on), tuned for many small transactions, gone after `stop`.
 *
 * Needs Debian's `postgresql-15`. As root, the server runs as the `postgres` user, since it refuses to run as root.
 */
export async function startPostgresPeer(options: PostgresPeerOptions): Promise<Peer> {
  const parent = options.directory ?? tmpdir()
  const directory = await mkdtemp(join(parent, 'hh-pg-'))
  const data = join(directory, 'data')
  const run = await serverRunner(directory)
  const drop = async () => rm(directory, {recursive: true, force: true})
  try {
    await run('initdb', ['-D', data, '-U', 'bench', '--auth=trust', '-E', 'UTF8', '--locale=C', '--no-instructions'])
    const settings = serverSettings(options.connections).flatMap(setting => ['-c', setting])
    const server = [...settings, '-c', `unix_socket_directories=${directory}`].join(' ')
    await run('pg_ctl', ['start', '-w', '-t', '60', '-D', data, '-l', join(directory, 'server.log'), '-o', server])
  } catch (error) {
    await drop()
    throw error
  }
  const pool = new pg.Pool({host: directory, user: 'bench', database: 'postgres', max: options.connections})
  let stopping = false
  pool.on('error', error => {
    // The pool drops an idle connection that breaks; while the server stops, that is what is meant to happen.
    if (!stopping) console.warn(`PostgreSQL peer: ${error.message}`)
  })
  await pool.query(schemaSql)
  return {
    name: `PostgreSQL 15, ${options.variant}`,
    seed: seed => fill(pool, options.connections, seed),
    book: bookBy[options.variant](pool),
    counts: () => count(pool),
    async stop() {
      stopping = true
      await pool.end()
      await run('pg_ctl', ['stop', '-w', '-m', 'fast', '-D', data])
      await drop()
    },
  }
}

export interface PostgresPeerOptions {
  /** See `peer-postgres-booking.ts`. */
  readonly variant: BookingVariant
  /** Connections in the pool, all opened by `seed`. */
  readonly connections: number
  /** A folder on a real disk, where the cluster gets a folder of its own; default: the system's temporary folder. */
  readonly directory?: string
}

export interface Peer {
  readonly name: string
  /** Replaces all content: accounts with their minutes, machines of one pool that serve every service given. */
  seed(seed: PeerSeed): Promise<void>
  /** One booking, durable when it resolves with `ok: true`; a refusal has changed nothing. */
  book(request: PeerBooking): Promise<PeerAnswer>
  counts(): Promise<PeerCounts>
  /** Stops the server and deletes its files. */
  stop(): Promise<void>
}

export interface PeerSeed {
  readonly users: readonly string[]
  readonly minutesEach: number
  readonly machines: readonly string[]
  readonly pool: string
  /** Default: `minecraft`. */
  readonly services?: readonly string[]
}

export interface PeerBooking {
  readonly userId: string
  readonly service: string
  readonly realm: string
  /** RFC 3339 in UTC; whole minutes apart. */
  readonly start: string
  readonly end: string
}

export type PeerAnswer =
  {readonly ok: true} | {readonly ok: false; readonly reason: 'InsufficientHours' | 'SlotTaken' | 'Contention'}

/** What to check after a run: no overlap, and every minute that left a balance is in the ledger and in a booking. */
export interface PeerCounts {
  readonly bookings: number
  readonly ledgerEntries: number
  readonly overlaps: number
  readonly balanceMinutes: number
  readonly bookedMinutes: number
  readonly ledgerMinutes: number
}

const binaries = '/usr/lib/postgresql/15/bin'

async function serverRunner(directory: string): Promise<(program: string, args: readonly string[]) => Promise<void>> {
  await access(join(binaries, 'postgres')).catch(() => {
    throw new Error('PostgreSQL 15 is not installed: apt-get install -y --no-install-recommends postgresql-15')
  })
  const execute = promisify(execFile)
  const asRoot = getuid?.() === 0
  if (asRoot) {
    const id = async (flag: string) => Number((await execute('id', [flag, 'postgres'])).stdout)
    await chown(directory, await id('-u'), await id('-g'))
  }
  return async (program, args) => {
    const command = [join(binaries, program), ...args]
    const [first = '', ...rest] = asRoot ? ['runuser', '-u', 'postgres', '--', ...command] : command
    await execute(first, rest, {cwd: directory, timeout: 120_000})
  }
}

function serverSettings(connections: number): readonly string[] {
  return [
    'listen_addresses=',
    `max_connections=${connections + 10}`,
    'fsync=on',
    'synchronous_commit=on',
    'full_page_writes=on',
    'shared_buffers=256MB',
    'effective_cache_size=1GB',
    'random_page_cost=1.1',
    'jit=off',
    'max_parallel_workers_per_gather=0',
    // No standby is fed from here, so the log can be as short as crash safety allows.
    'wal_level=minimal',
    'max_wal_senders=0',
    'wal_buffers=16MB',
    'max_wal_size=4GB',
    'checkpoint_timeout=15min',
    'update_process_title=off',
  ]
}

async function fill(pool: pg.Pool, connections: number, seed: PeerSeed): Promise<void> {
  await pool.query('TRUNCATE accounts, machines, bookings, ledger RESTART IDENTITY CASCADE')
  await pool.query('INSERT INTO accounts (user_id, balance_minutes) SELECT unnest($1::text[]), $2', [
    seed.users,
    seed.minutesEach,
  ])
  await pool.query(
    `INSERT INTO machines (machine_no, machine_id, pool_id, services)
     SELECT number - 1, id, $2, $3 FROM unnest($1::text[]) WITH ORDINALITY AS named (id, number)`,
    [seed.machines, seed.pool, seed.services ?? ['minecraft']],
  )
  await pool.query('VACUUM ANALYZE')
  await pool.query('CHECKPOINT')
  // The first bookings must not pay for connecting.
  const clients = await Promise.all(Array.from({length: connections}, () => pool.connect()))
  for (const client of clients) client.release()
}

async function count(pool: pg.Pool): Promise<PeerCounts> {
  const {rows} = await pool.query<Record<keyof PeerCounts, string>>(`
    SELECT
      (SELECT count(*) FROM bookings) AS "bookings",
      (SELECT count(*) FROM ledger) AS "ledgerEntries",
      (SELECT count(*) FROM bookings a JOIN bookings b
         ON a.machine_no = b.machine_no AND a.booking_id < b.booking_id AND a.during && b.during) AS "overlaps",
      (SELECT coalesce(sum(balance_minutes), 0) FROM accounts) AS "balanceMinutes",
      (SELECT coalesce(sum(extract(epoch FROM upper(during) - lower(during)) / 60), 0)::bigint
         FROM bookings) AS "bookedMinutes",
      (SELECT coalesce(-sum(minutes), 0) FROM ledger) AS "ledgerMinutes"`)
  const row = rows[0]
  if (row === undefined) throw new Error('PostgreSQL counted nothing')
  return {
    bookings: Number(row.bookings),
    ledgerEntries: Number(row.ledgerEntries),
    overlaps: Number(row.overlaps),
    balanceMinutes: Number(row.balanceMinutes),
    bookedMinutes: Number(row.bookedMinutes),
    ledgerMinutes: Number(row.ledgerMinutes),
  }
}
