import {account} from '../account/decider.ts'
import {accountStream} from '../account/events.ts'
import type {CommandMeta} from '../event-store/command.ts'
import type {Handler} from '../event-store/handler.ts'
import {derivedCommandId, derivedUuid, type GrantId, type PurchaseId, type UserId} from '../kernel/ids.ts'
import type {Actor} from '../kernel/messages.ts'
import {purchase} from '../shop/decider.ts'
import {purchaseStream} from '../shop/events.ts'

/** Bought hours are drawn after those that were given away, which tend to expire. */
const purchasePriority = 100

/**
 * Grants what was paid for: the account first, then the purchase. The grant's id follows from the purchase, so that
 * both steps happen once, however often and by whomever this is run.
 * @returns the commit position reached, null when all was done before
 */
export async function fulfilPurchase(
  handler: Handler,
  paid: {readonly purchaseId: PurchaseId; readonly userId: UserId; readonly minutes: number},
  cause: {readonly correlationId: string; readonly actor: Actor},
): Promise<bigint | null> {
  const {purchaseId, userId, minutes} = paid
  const meta = (step: string): CommandMeta => ({...cause, commandId: derivedCommandId(step, purchaseId)})
  const grantId = derivedUuid('grant', purchaseId) as GrantId
  const source = {type: 'purchase', purchaseId} as const
  const terms = {source, priority: purchasePriority, effectiveAt: null, expiresAt: null}
  const grant = {type: 'GrantHours', grantId, minutes, ...terms} as const
  const granted = await handler.handle(account, accountStream(userId), grant, meta('grant'))
  if (!granted.ok) throw new Error(`purchase ${purchaseId} could not be granted: ${granted.refusal.type}`)
  const fulfil = {type: 'FulfilPurchase', grantId} as const
  const done = await handler.handle(purchase, purchaseStream(purchaseId), fulfil, meta('fulfil'))
  return done.ok ? done.commit : null
}
