import pg from 'pg'
import type {PeerAnswer, PeerBooking} from './peer-postgres.ts'

/**
 * Three ways to book, all under the same constraints and all durable:
 * `transaction` — BEGIN, debit, choose and insert, ledger, COMMIT: five round trips, as most teams write it;
 * `function` — the same in one PL/pgSQL function that retries inside the server: one round trip;
 * `statement` — the same as one SQL statement with data-modifying CTEs: one round trip, retried by the client.
 */
export type BookingVariant = 'transaction' | 'function' | 'statement'

export const bookBy: Readonly<Record<BookingVariant, (pool: pg.Pool) => Book>> = {
  transaction: byTransaction,
  function: byFunction,
  statement: byStatement,
}

export type Book = (request: PeerBooking) => Promise<PeerAnswer>

/**
 * Beside the columns the rule needs, only what the answer needs. Accounts leave room on their pages, so that a debit is
 * a heap-only update and touches no index.
 */
const tables = `
  CREATE EXTENSION btree_gist;
  CREATE TABLE accounts (
    user_id text PRIMARY KEY,
    balance_minutes bigint NOT NULL CHECK (balance_minutes >= 0)
  ) WITH (fillfactor = 70);
  CREATE TABLE machines (
    machine_no int PRIMARY KEY,
    machine_id text NOT NULL UNIQUE,
    pool_id text NOT NULL,
    services text[] NOT NULL
  );
  CREATE TABLE bookings (
    booking_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL REFERENCES accounts,
    machine_no int NOT NULL REFERENCES machines,
    service text NOT NULL,
    realm text NOT NULL,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    EXCLUDE USING gist (machine_no WITH =, during WITH &&)
  );
  CREATE TABLE ledger (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL REFERENCES accounts,
    booking_id bigint NOT NULL REFERENCES bookings,
    minutes bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
  );`

/**
 * A free machine, locked. Without a lock, transactions that insert overlapping bookings at one moment wait for each other
 * under the EXCLUDE constraint until the server breaks the deadlock, a second each time, and a rush on one hour never
 * ends. So the first look passes over machines that somebody is just booking (`skip`), and only if none is left does the
 * second stand in line (`wait`).
 *
 * Every caller begins at another place of the round, and the search ends at the first machine that will do. Each OFFSET 0
 * keeps the planner from a worse order: from reading the agenda of all machines instead of one, and from locking a machine
 * before it is known to be free.
 */
const freeMachine = (locked: 'skip' | 'wait', service: string, during: string, from: string) => `
  SELECT machine_no FROM (
    SELECT machine_no FROM (
      (SELECT machine_no, services FROM machines WHERE machine_no >= ${from} ORDER BY machine_no)
      UNION ALL
      (SELECT machine_no, services FROM machines WHERE machine_no < ${from} ORDER BY machine_no)
    ) candidate
    WHERE ${service} = ANY (services) AND NOT EXISTS (
      SELECT FROM bookings taken
      WHERE taken.machine_no = candidate.machine_no AND taken.during && ${during}
      OFFSET 0
    )
    OFFSET 0
  ) free
  WHERE ${locked === 'skip' ? 'pg_try_advisory_xact_lock(machine_no)' : 'pg_advisory_xact_lock(machine_no) IS NOT NULL'}
  LIMIT 1`

const bookFunction = `
  CREATE FUNCTION book(a_user text, a_service text, a_realm text, a_start timestamptz, an_end timestamptz)
  RETURNS text LANGUAGE plpgsql AS $$
  DECLARE
    v_during tstzrange := tstzrange(a_start, an_end);
    v_minutes bigint := extract(epoch FROM an_end - a_start) / 60;
    v_machines int := (SELECT max(machine_no) + 1 FROM machines);
    v_machine int;
    v_booking bigint;
    v_from int;
  BEGIN
    UPDATE accounts SET balance_minutes = balance_minutes - v_minutes
      WHERE user_id = a_user AND balance_minutes >= v_minutes;
    IF NOT FOUND THEN RETURN 'InsufficientHours'; END IF;
    FOR attempt IN 1..20 LOOP
      v_from := floor(random() * v_machines);
      -- A block of its own, so that a conflict also gives back the lock on the machine.
      BEGIN
        v_machine := (${freeMachine('skip', 'a_service', 'v_during', 'v_from')});
        IF v_machine IS NULL THEN
          v_machine := (${freeMachine('wait', 'a_service', 'v_during', 'v_from')});
        END IF;
        EXIT WHEN v_machine IS NULL;
        INSERT INTO bookings (user_id, machine_no, service, realm, during)
          VALUES (a_user, v_machine, a_service, a_realm, v_during) RETURNING booking_id INTO v_booking;
        INSERT INTO ledger (user_id, booking_id, minutes) VALUES (a_user, v_booking, -v_minutes);
        RETURN 'ok';
      EXCEPTION WHEN exclusion_violation THEN NULL;
      END;
    END LOOP;
    UPDATE accounts SET balance_minutes = balance_minutes + v_minutes WHERE user_id = a_user;
    RETURN CASE WHEN v_machine IS NULL THEN 'SlotTaken' ELSE 'Contention' END;
  END $$;`

export const schemaSql = tables + bookFunction

const attemptsMax = 20

function byTransaction(pool: pg.Pool): Book {
  const attempt = async (client: pg.PoolClient, request: PeerBooking): Promise<PeerAnswer> => {
    const minutes = minutesOf(request)
    await client.query('BEGIN')
    const debit = await client.query({name: 'debit', text: debitSql, values: [request.userId, minutes]})
    if (debit.rowCount === 0) return {ok: false, reason: 'InsufficientHours'}
    const {userId, service, realm, start, end} = request
    const values = [userId, service, realm, start, end, Math.random()]
    const insert = async (locked: 'skip' | 'wait') => {
      const query = {name: `book-${locked}`, text: chooseAndInsertSql[locked], values}
      return (await client.query<{booking_id: string}>(query)).rows[0]?.booking_id
    }
    const bookingId = (await insert('skip')) ?? (await insert('wait'))
    if (bookingId === undefined) return {ok: false, reason: 'SlotTaken'}
    await client.query({name: 'ledger', text: ledgerSql, values: [userId, bookingId, -minutes]})
    await client.query('COMMIT')
    return {ok: true}
  }
  return async request => {
    const client = await pool.connect()
    try {
      return await retried(async () => {
        try {
          const answer = await attempt(client, request)
          if (!answer.ok) await client.query('ROLLBACK')
          return answer
        } catch (error) {
          await client.query('ROLLBACK')
          throw error
        }
      })
    } finally {
      client.release()
    }
  }
}

const debitSql = `UPDATE accounts SET balance_minutes = balance_minutes - $2
  WHERE user_id = $1 AND balance_minutes >= $2`

const round = (chance: string) => `(SELECT floor(${chance}::float8 * (max(machine_no) + 1))::int FROM machines)`

const chooseAndInsert = (locked: 'skip' | 'wait') => `
  INSERT INTO bookings (user_id, machine_no, service, realm, during)
  SELECT $1, machine_no, $2, $3, tstzrange($4::timestamptz, $5::timestamptz)
  FROM (${freeMachine(locked, '$2', 'tstzrange($4::timestamptz, $5::timestamptz)', round('$6'))}) chosen
  RETURNING booking_id`

const chooseAndInsertSql = {skip: chooseAndInsert('skip'), wait: chooseAndInsert('wait')}

const ledgerSql = 'INSERT INTO ledger (user_id, booking_id, minutes) VALUES ($1, $2, $3)'

function byFunction(pool: pg.Pool): Book {
  return request =>
    retried(async () => {
      const {userId, service, realm, start, end} = request
      const {rows} = await pool.query<{answer: 'ok' | RefusalReason}>({
        name: 'book',
        text: 'SELECT book($1, $2, $3, $4, $5) AS answer',
        values: [userId, service, realm, start, end],
      })
      const answer = rows[0]?.answer ?? 'Contention'
      return answer === 'ok' ? {ok: true} : {ok: false, reason: answer}
    })
}

function byStatement(pool: pg.Pool): Book {
  const attempt = async (locked: 'skip' | 'wait', request: PeerBooking): Promise<PeerAnswer> => {
    const {userId, service, realm, start, end} = request
    const {rows} = await pool.query<{free: boolean; booked: boolean}>({
      name: `book-${locked}`,
      text: oneStatementSql[locked],
      values: [userId, service, realm, start, end, Math.random(), minutesOf(request)],
    })
    if (rows[0]?.booked === true) return {ok: true}
    return {ok: false, reason: rows[0]?.free === true ? 'InsufficientHours' : 'SlotTaken'}
  }
  return request =>
    retried(async () => {
      const first = await attempt('skip', request)
      return !first.ok && first.reason === 'SlotTaken' ? attempt('wait', request) : first
    })
}

/** The debit needs the free machine and the booking needs the debit, so a refusal at any step changes nothing. */
const oneStatement = (locked: 'skip' | 'wait') => `
  WITH free AS (${freeMachine(locked, '$2', 'tstzrange($4::timestamptz, $5::timestamptz)', round('$6'))}),
  debit AS (
    UPDATE accounts SET balance_minutes = balance_minutes - $7
    FROM free WHERE user_id = $1 AND balance_minutes >= $7 RETURNING machine_no
  ),
  booked AS (
    INSERT INTO bookings (user_id, machine_no, service, realm, during)
    SELECT $1, machine_no, $2, $3, tstzrange($4::timestamptz, $5::timestamptz) FROM debit RETURNING booking_id
  ),
  entered AS (
    INSERT INTO ledger (user_id, booking_id, minutes) SELECT $1, booking_id, -$7::bigint FROM booked RETURNING 1
  )
  SELECT EXISTS (SELECT FROM free) AS free, EXISTS (SELECT FROM entered) AS booked`

const oneStatementSql = {skip: oneStatement('skip'), wait: oneStatement('wait')}

type RefusalReason = Extract<PeerAnswer, {ok: false}>['reason']

/** Another machine is tried when a concurrent booking took the chosen one first, or when two waited for each other. */
async function retried(attempt: () => Promise<PeerAnswer>): Promise<PeerAnswer> {
  for (let attempts = 0; attempts < attemptsMax; attempts += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || !conflicts.has(error.code ?? '')) throw error
    }
  }
  return {ok: false, reason: 'Contention'}
}

/** exclusion_violation, deadlock_detected */
const conflicts = new Set(['23P01', '40P01'])

function minutesOf({start, end}: PeerBooking): number {
  return (Date.parse(end) - Date.parse(start)) / 60_000
}
