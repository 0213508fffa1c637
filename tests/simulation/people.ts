import {chooseAct, furnish, type Memory, type Request} from './acts.ts'
import type {Dice} from './dice.ts'
import {isForeseen, type Node} from './node.ts'
import type {VirtualTime} from './virtual-time.ts'

const meanGapMs = 5 * 60_000
const triesMax = 8
/** A client that got no answer by then asks again, whoever answers then. */
const answerMs = 30_000

interface Stage {
  readonly time: VirtualTime
  readonly dice: Dice
  /** Where the next request goes. */
  readonly nodeOf: () => Node
}

/** Lets customers and operators come and go for as long as time passes. */
export function keepLiving(stage: Stage): Memory {
  const {time, dice} = stage
  const memory: Memory = {bookings: [], purchases: [], users: [], signInToken: null, acknowledged: []}
  let count = 0
  const next = (): void => {
    const act = chooseAct({dice, memory, key: `act-${count++}`, now: time.clock.now()})
    if (act !== null) {
      send(stage, act.request, 1)
      // Impatient people press twice.
      if (dice.chance(0.05)) send(stage, act.request, triesMax)
    }
    time.after(-Math.log(1 - dice.next()) * meanGapMs, next)
  }
  send(stage, furnish, 1)
  time.after(2 * answerMs, next)
  return memory
}

function send(stage: Stage, request: Request, attempt: number): void {
  const {time, dice} = stage
  const node = stage.nodeOf()
  let isSettled = false
  const again = (): void => {
    if (isSettled) return
    isSettled = true
    if (attempt < triesMax) time.after(dice.below(5_000), () => send(stage, request, attempt + 1))
  }
  const ask = async (): Promise<void> => {
    try {
      await request(node.engine)
      isSettled = true
    } catch (error) {
      if (!node.life.isOver && !isForeseen(error)) node.alarms.push(`a request: ${String(error)}`)
      again()
    }
  }
  void ask()
  time.after(answerMs, again)
}
