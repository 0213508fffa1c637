/**
 * What happens by chance, by name and number: the acts of people, the troubles, the strikes of faults. Nothing else
 * decides whether they happen, so that a run can be told again with only some of them.
 */
export interface Plot {
  /** Whether the next happening of this name takes place. */
  happens(name: string): boolean
  /** The numbers of those that did. */
  happened(): Happenings
}

/** Numbers by name, each counted from 0 in the order in which they came up. */
export type Happenings = Readonly<Record<string, readonly number[]>>

/** Null: all of them happen. */
export function plotOf(only: Happenings | null): Plot {
  const counts = new Map<string, number>()
  const happened: Record<string, number[]> = {}
  const allowed = new Map(Object.entries(only ?? {}).map(([name, numbers]) => [name, new Set(numbers)]))
  return {
    happens(name) {
      const number = counts.get(name) ?? 0
      counts.set(name, number + 1)
      if (only !== null && allowed.get(name)?.has(number) !== true) return false
      const numbers = happened[name] ?? []
      numbers.push(number)
      happened[name] = numbers
      return true
    },
    happened: () => happened,
  }
}
