/**
 * Whether what concurrent clients saw of one object can be explained by some order of its operations: the search of
 * Wing and Gong (1993), with Lowe's memoisation (2017) on the set of operations placed and the state they led to.
 *
 * Beyond the classical definition an operation may name others that must come before it (`after`), which is how reads
 * that promise less than linearizability are checked for exactly what they promise; and it may be open: without an
 * answer, it happened at some time after its call, or never.
 */
export interface Operation<State> {
  /** For people who read why a history cannot be. */
  readonly label: string
  /** The earliest it can have happened, on a clock that counts calls and answers; −1: before all of them. */
  readonly calledAt: number
  /** The latest it can have happened, on the same clock; Infinity: it is open. */
  readonly answeredAt: number
  /** Indices of the operations that must come before it. */
  readonly after: readonly number[]
  /** Changes nothing, however it is answered. */
  readonly isRead: boolean
  /** The states it can lead to from this one, given its answer; none: so it cannot be answered here. */
  apply(state: State): readonly State[]
}

export interface Specification<State> {
  readonly initial: State
  /** Equal for equal states, and for those only. */
  keyOf(state: State): string
}

export type Verdict =
  | {readonly ok: true; readonly configurations: number}
  | {
      readonly ok: false
      readonly configurations: number
      /** The longest beginning that can be explained … */
      readonly placed: readonly string[]
      /** … and what then had to come and could not. */
      readonly stuck: readonly string[]
    }

/** A history that needs more is an error and not an answer. */
const configurationsMax = 300_000

interface Frame<State> {
  /** Placed to get here: one that changes something, then reads. */
  readonly placed: readonly number[]
  readonly choices: {readonly operation: number; readonly next: State}[]
}

/** @throws when the search exceeds its bound */
export function check<State>(specification: Specification<State>, operations: readonly Operation<State>[]): Verdict {
  const order = createOrder(operations)
  const seen = new Set<string>()
  let best: {readonly placed: readonly number[]; readonly stuck: readonly number[]} = {placed: [], stuck: []}
  const stack: Frame<State>[] = []

  const latestFirst = (a: number, b: number): number => {
    const [one, other] = [answered(operations, a), answered(operations, b)]
    return one === other ? b - a : other > one ? 1 : -1
  }
  const enter = (operation: number | null, state: State): void => {
    if (operation !== null) order.place(operation)
    const placed = [...(operation === null ? [] : [operation]), ...placeReads(order, operations, state)]
    const frame: Frame<State> = {placed, choices: []}
    stack.push(frame)
    const key = `${order.key()}|${specification.keyOf(state)}`
    if (seen.has(key)) return
    seen.add(key)
    if (seen.size > configurationsMax) throw new Error(`no verdict within ${configurationsMax} configurations`)
    if (order.count() >= best.placed.length) {
      best = {placed: stack.flatMap(each => each.placed), stuck: order.candidates()}
    }
    // The last one is tried first: that which was answered first; open ones when nothing else helps.
    for (const candidate of order.candidates().toSorted(latestFirst)) {
      if (operations[candidate]?.isRead === true) continue
      for (const next of operations[candidate]?.apply(state) ?? []) frame.choices.push({operation: candidate, next})
    }
  }

  enter(null, specification.initial)
  for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
    if (order.isExplained()) return {ok: true, configurations: seen.size}
    const choice = frame.choices.pop()
    if (choice !== undefined) {
      enter(choice.operation, choice.next)
      continue
    }
    stack.pop()
    for (const operation of frame.placed) order.takeBack(operation)
  }
  const label = (index: number): string => operations[index]?.label ?? ''
  return {ok: false, configurations: seen.size, placed: best.placed.map(label), stuck: best.stuck.map(label)}
}

/**
 * A read that can be explained here is placed here: it changes nothing, and whatever must come after it may come sooner.
 * So reads never branch the search.
 */
function placeReads<State>(order: Order, operations: readonly Operation<State>[], state: State): readonly number[] {
  const placed: number[] = []
  for (let before = -1; before < placed.length;) {
    before = placed.length
    for (const candidate of order.candidates()) {
      const operation = operations[candidate]
      if (operation?.isRead !== true || operation.apply(state).length === 0) continue
      order.place(candidate)
      placed.push(candidate)
    }
    if (placed.length === before) break
  }
  return placed
}

type Spans = readonly Pick<Operation<never>, 'calledAt' | 'answeredAt' | 'after'>[]

function answered(operations: Spans, index: number): number {
  return operations[index]?.answeredAt ?? Infinity
}

/** What is placed already, and what may come next. */
interface Order {
  place(operation: number): void
  takeBack(operation: number): void
  count(): number
  /** Nothing that was answered is left. */
  isExplained(): boolean
  /** Called before anything left was answered, and everything that must come before them is placed. */
  candidates(): readonly number[]
  /** Names the set of what is placed. */
  key(): string
}

function createOrder(operations: Spans): Order {
  const indices = operations.map((_, index) => index)
  const closed = indices
    .filter(index => answered(operations, index) < Infinity)
    .toSorted((a, b) => calledAt(a) - calledAt(b))
  const open = indices.filter(index => answered(operations, index) === Infinity)
  const placeOf = new Map(closed.map((operation, place) => [operation, place]))
  const isPlaced = new Uint8Array(operations.length)
  let count = 0
  let closedLeft = closed.length
  /** All before this place among the closed ones are placed. */
  let low = 0

  function calledAt(index: number): number {
    return operations[index]?.calledAt ?? 0
  }

  /** Those of the closed ones that were called before anything left was answered, placed or not. */
  function window(): readonly number[] {
    let deadline = Infinity
    let end = low
    for (; end < closed.length; end++) {
      const operation = closed[end] ?? 0
      if (calledAt(operation) > deadline) break
      if (isPlaced[operation] === 0) deadline = Math.min(deadline, answered(operations, operation))
    }
    return closed.slice(low, end).filter(operation => calledAt(operation) < deadline)
  }

  return {
    place(operation) {
      isPlaced[operation] = 1
      count++
      if (placeOf.has(operation)) closedLeft--
      while (low < closed.length && isPlaced[closed[low] ?? 0] === 1) low++
    },
    takeBack(operation) {
      isPlaced[operation] = 0
      count--
      const place = placeOf.get(operation)
      if (place === undefined) return
      closedLeft++
      low = Math.min(low, place)
    },
    count: () => count,
    isExplained: () => closedLeft === 0,
    candidates() {
      const deadline = Math.min(
        ...window()
          .filter(index => isPlaced[index] === 0)
          .map(index => answered(operations, index)),
      )
      return [...window(), ...open.filter(index => calledAt(index) < deadline)].filter(
        index => isPlaced[index] === 0 && (operations[index]?.after.every(before => isPlaced[before] === 1) ?? false),
      )
    },
    key() {
      const beyond = window().filter(index => isPlaced[index] === 1)
      return `${low};${beyond.join()};${open.filter(index => isPlaced[index] === 1).join()}`
    },
  }
}
