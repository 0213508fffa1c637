/** One guard taken out of one source file while it is loaded: see `plant.ts`. Production code has no switch for it. */
export interface Mutant {
  /** What the engine does without the guard. */
  readonly name: string
  /** Path from the root of the repository. */
  readonly file: string
  /** Stands in the file exactly once. */
  readonly guard: string
  /** What stands there instead. */
  readonly without: string
  /** What a violation says that shows it. */
  readonly shows: RegExp
}

/** The file's text without the guard. Throws when the guard is not there, or there twice. */
export function mutated({file, guard, without}: Mutant, source: string): string {
  const [before, after, ...more] = source.split(guard)
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`${file} has the guard ${more.length + (after === undefined ? 0 : 1)} times: ${guard}`)
  }
  return before + without + after
}
