/** One guard taken out of one source file while it is loaded: see `plant.ts`. Production code has no switch for it. */
export interface Mutant extends Guard {
  /** What the engine does without the guard. */
  readonly name: string
  /** What a violation says that shows it. */
  readonly shows: RegExp
  /** A second guard behind the first, which by itself keeps anything from being seen: both are taken out. */
  readonly also?: Guard
}

export interface Guard {
  /** Path from the root of the repository. */
  readonly file: string
  /** Stands in the file exactly once. */
  readonly guard: string
  /** What stands there instead. */
  readonly without: string
}

export const guardsOf = (mutant: Mutant): readonly Guard[] =>
  mutant.also === undefined ? [mutant] : [mutant, mutant.also]

/** The file's text without the guard. Throws when the guard is not there, or there twice. */
export function mutated({file, guard, without}: Guard, source: string): string {
  const [before, after, ...more] = source.split(guard)
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`${file} has the guard ${more.length + (after === undefined ? 0 : 1)} times: ${guard}`)
  }
  return before + without + after
}
