import type {LogRule, Report} from './rule-of-log.ts'

/** What happens once to a person happens once, and only those who may do what operators do. */
export function checkPeople(report: Report, isOperator: (userId: string) => boolean): LogRule {
  const seen = new Set<string>()
  const once = (what: string): void => {
    if (seen.has(what)) report(what)
    seen.add(what)
  }
  return {
    see({type, data}, {userId}) {
      switch (type) {
        case 'UserRegistered':
          return once(`${data.userId} was registered twice`)
        case 'UserKeyCreated':
          return once(`${data.userId} got a second key`)
        case 'SignInRedeemed':
          return once(`link ${data.tokenId} was redeemed twice`)
        case 'HoursGranted': {
          if (data.source.type !== 'operator') return
          if (userId === null || !isOperator(userId)) report(`grant ${data.grantId} was granted by a customer`)
          return
        }
        default:
      }
    },
  }
}
