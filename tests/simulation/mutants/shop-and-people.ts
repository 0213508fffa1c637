import type {Mutant} from './mutant.ts'

const shop = 'src/shop/decider.ts'
const access = 'src/access/decider.ts'

export const shopAndPeopleMutants: readonly Mutant[] = [
  {
    name: 'a purchase takes a second payment',
    file: shop,
    guard:
      "        if (state.paymentRef !== null) return state.paymentRef === paymentRef ? accept() : refuse({type: 'AlreadyPaid'})\n",
    without: '',
    shows: /was received twice|received a second payment/,
  },
  {
    name: 'a purchase takes less than its price',
    file: shop,
    guard: '        if (!equalMoney(amount, price)) {\n',
    without: '        if (!equalMoney(price, price)) {\n',
    shows: /was paid with/,
  },
  {
    name: 'a purchase is fulfilled twice',
    file: shop,
    guard: "        if (state.status === 'fulfilled') return accept()\n",
    without: '',
    shows: /was fulfilled twice/,
  },
  {
    name: 'a checkout that nobody paid is fulfilled',
    file: 'src/processes/steps.ts',
    guard: 'if (row === null || !row.paid) return idle',
    without: 'if (row === null) return idle',
    shows: /was credited without a payment/,
  },
  {
    name: 'a sign-in link works twice',
    file: access,
    guard: "        if (state.redeemed.includes(tokenId)) return refuse({type: 'SignInAlreadyUsed'})\n",
    without: '',
    shows: /was redeemed twice/,
  },
  {
    name: 'a customer grants hours',
    file: 'src/dispatch/purchases.ts',
    guard: `    async grantHours(caller, request) {
      if (!hasRole(caller, 'operator')) return {ok: false, refusal: {type: 'Forbidden', needs: 'operator'}}
`,
    without: `    async grantHours(caller, request) {
`,
    shows: /granted by a customer/,
  },
]
