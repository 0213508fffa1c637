import {overdueAt, type Report, type Rule} from './rule.ts'

/** One payment, one credit of what was bought, soon. */
export function checkPayments(report: Report): Rule {
  const bought = new Map<string, number>()
  const references = new Set<string>()
  const credited = new Set<string>()
  const fulfilled = new Set<string>()
  const open = new Map<string, number>()
  const paid = new Set<string>()
  return {
    see({type, data}, _stream, atMs) {
      switch (type) {
        case 'CheckoutStarted':
          bought.set(data.purchaseId, data.minutes)
          return
        case 'PaymentReceived':
          if (references.has(data.paymentRef)) report(`payment ${data.paymentRef} was received twice`)
          references.add(data.paymentRef)
          paid.add(data.purchaseId)
          open.set(data.purchaseId, atMs)
          return
        case 'HoursGranted': {
          if (data.source.type !== 'purchase') return
          const {purchaseId} = data.source
          if (credited.has(purchaseId)) report(`purchase ${purchaseId} was credited twice`)
          if (!paid.has(purchaseId)) report(`purchase ${purchaseId} was credited without a payment`)
          if (bought.get(purchaseId) !== data.minutes) report(`purchase ${purchaseId} was credited wrongly`)
          credited.add(purchaseId)
          return
        }
        case 'PurchaseFulfilled':
          if (!credited.has(data.purchaseId)) report(`purchase ${data.purchaseId} was fulfilled without a credit`)
          if (fulfilled.has(data.purchaseId)) report(`purchase ${data.purchaseId} was fulfilled twice`)
          fulfilled.add(data.purchaseId)
          open.delete(data.purchaseId)
          return
        default:
      }
    },
    look(nowMs, calmSinceMs) {
      let nextMs = Infinity
      for (const [purchaseId, sinceMs] of open) {
        const overdueMs = overdueAt(sinceMs, calmSinceMs)
        if (nowMs > overdueMs) {
          report(`purchase ${purchaseId} was paid and not fulfilled`)
          open.delete(purchaseId)
        } else nextMs = Math.min(nextMs, overdueMs)
      }
      return nextMs
    },
  }
}
