import type {DatabaseSync} from 'node:sqlite'
import type {Projection} from './projection.ts'

/** Checkouts and what became of them. */
export const purchases: Projection = {
  name: 'purchases',
  version: 1,
  tables: ['purchases'],
  ddl: `
    CREATE TABLE purchases (
      purchase_id TEXT PRIMARY KEY,
      user_id TEXT NOT NULL,
      pack_id TEXT NOT NULL,
      minutes INTEGER NOT NULL,
      amount_minor INTEGER NOT NULL,
      currency TEXT NOT NULL,
      gateway TEXT NOT NULL,
      status TEXT NOT NULL,
      started_at TEXT NOT NULL,
      paid_at TEXT,
      fulfilled_at TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX purchases_by_user ON purchases (user_id, started_at);
  `,
  open(db) {
    const start = db.prepare(`
      INSERT INTO purchases (purchase_id, user_id, pack_id, minutes, amount_minor, currency, gateway, status, started_at)
      VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?)`)
    const pay = db.prepare(`UPDATE purchases SET status = 'paid', paid_at = ? WHERE purchase_id = ?`)
    const fulfil = db.prepare(`UPDATE purchases SET status = 'fulfilled', fulfilled_at = ? WHERE purchase_id = ?`)
    return ({event}) => {
      switch (event.type) {
        case 'CheckoutStarted': {
          const {purchaseId, userId, packId, minutes, price, gateway, at} = event.data
          start.run(purchaseId, userId, packId, minutes, price.amountMinor, price.currency, gateway, at)
          return
        }
        case 'PaymentReceived':
          pay.run(event.data.at, event.data.purchaseId)
          return
        case 'PurchaseFulfilled':
          fulfil.run(event.data.at, event.data.purchaseId)
          return
        default:
      }
    }
  },
}

export interface PurchaseRow {
  readonly purchase_id: string
  readonly user_id: string
  readonly pack_id: string
  readonly minutes: number
  readonly amount_minor: number
  readonly currency: string
  readonly gateway: string
  readonly status: 'open' | 'paid' | 'fulfilled'
  readonly started_at: string
  readonly paid_at: string | null
  readonly fulfilled_at: string | null
}

export interface PurchaseQueries {
  purchase(purchaseId: string): PurchaseRow | null
  /** Newest first, at most `limit`. */
  purchasesOf(userId: string, limit: number): readonly PurchaseRow[]
}

export function purchaseQueries(db: DatabaseSync): PurchaseQueries {
  const one = db.prepare('SELECT * FROM purchases WHERE purchase_id = ?')
  const byUser = db.prepare(`
    SELECT * FROM purchases WHERE user_id = ? ORDER BY started_at DESC, purchase_id DESC LIMIT ? + 0`)
  return {
    purchase: purchaseId => (one.get(purchaseId) as unknown as PurchaseRow | undefined) ?? null,
    purchasesOf: (userId, limit) => byUser.all(userId, limit) as unknown as PurchaseRow[],
  }
}
