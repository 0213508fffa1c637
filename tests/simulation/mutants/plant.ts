import {registerHooks} from 'node:module'
import {mutated, type Mutant} from './mutant.ts'

const root = new URL('../../../', import.meta.url)

/**
 * Takes the guard away from every module of this thread that is loaded from now on. Answers how to tell whether the
 * mutant's file was: a bug in a file that nobody imports would prove nothing.
 */
export function plant(mutant: Mutant): () => boolean {
  const url = new URL(mutant.file, root).href
  let isPlanted = false
  registerHooks({
    load(loadedUrl, context, nextLoad) {
      const loaded = nextLoad(loadedUrl, context)
      if (loadedUrl !== url) return loaded
      isPlanted = true
      return {...loaded, source: mutated(mutant, textOf(loaded.source))}
    },
  })
  return () => isPlanted
}

function textOf(source: string | ArrayBuffer | NodeJS.TypedArray | undefined): string {
  if (typeof source === 'string') return source
  if (source === undefined) throw new Error('a module without a source')
  return new TextDecoder().decode(source)
}
