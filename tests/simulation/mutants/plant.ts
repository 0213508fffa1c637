import {registerHooks} from 'node:module'
import {guardsOf, mutated, type Mutant} from './mutant.ts'

const root = new URL('../../../', import.meta.url)

/**
 * Takes the guard away from every module of this thread that is loaded from now on. Answers how to tell whether the
 * mutant's files were: a bug in a file that nobody imports would prove nothing.
 */
export function plant(mutant: Mutant): () => boolean {
  const guards = new Map(guardsOf(mutant).map(guard => [new URL(guard.file, root).href, guard]))
  const seen = new Set<string>()
  registerHooks({
    load(loadedUrl, context, nextLoad) {
      const loaded = nextLoad(loadedUrl, context)
      const guard = guards.get(loadedUrl)
      if (guard === undefined) return loaded
      seen.add(loadedUrl)
      return {...loaded, source: mutated(guard, textOf(loaded.source))}
    },
  })
  return () => seen.size === guards.size
}

function textOf(source: string | ArrayBuffer | NodeJS.TypedArray | undefined): string {
  if (typeof source === 'string') return source
  if (source === undefined) throw new Error('a module without a source')
  return new TextDecoder().decode(source)
}
