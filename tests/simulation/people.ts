import {chooseAct, furnish, type Memory, type Request, type Witness} from './acts.ts'
import {diceOf, mixed} from './dice.ts'
import {isForeseen, type Node} from './node.ts'
import type {Plot} from './plot.ts'
import {within, type VirtualTime} from './virtual-time.ts'

const triesMax = 12
/** A client that got no answer by then asks again, whoever answers then. */
const answerMs = 30_000

export interface Stage {
  readonly seed: number
  readonly time: VirtualTime
  readonly plot: Plot
  readonly witness: Witness
  /** Where the next request goes; null: nobody is there. */
  readonly nodeFor: (share: number) => Node | null
}

/** Customers and operators. */
export interface People {
  readonly memory: Memory
  /** Somebody does something. */
  act(): void
}

export function createPeople(stage: Stage): People {
  const {time, seed, plot, witness} = stage
  const memory: Memory = {bookings: [], purchases: [], users: [], signInToken: null, acknowledged: []}
  let count = 0
  send(stage, furnish, diceOf(seed), 1)
  return {
    memory,
    act() {
      const number = count++
      if (!plot.happens('act')) return
      // Dice of its own: what one person does is the same whatever the others did.
      const dice = diceOf(mixed(seed, number))
      const act = chooseAct({dice, memory, key: `act-${number}`, now: time.clock.now(), witness})
      if (act === null) return
      // Some leave when the first answer does not come.
      send(stage, act.request, dice, dice.chance(0.2) ? triesMax : 1)
      // Impatient people press twice.
      if (dice.chance(0.05)) send(stage, act.request, dice, triesMax)
    },
  }
}

function send(stage: Stage, request: Request, dice: ReturnType<typeof diceOf>, attempt: number): void {
  const {time} = stage
  let isSettled = false
  const again = (): void => {
    if (isSettled) return
    isSettled = true
    if (attempt < triesMax) time.after(1_000 + dice.below(10_000), () => send(stage, request, dice, attempt + 1))
  }
  const node = stage.nodeFor(dice.next())
  if (node === null) return again()
  const ask = async (): Promise<void> => {
    try {
      await request(node.engine)
      isSettled = true
      giveUp()
    } catch (error) {
      if (!node.life.isOver && !isForeseen(error)) node.alarms.push(`a request: ${String(error)}`)
      again()
    }
  }
  const giveUp = time.after(answerMs, again)
  within(node.life, () => void ask())()
}
