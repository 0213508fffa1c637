import type {CommandMeta} from './command.ts'

/**
 * Which commands of people a stream holds the events of. Whoever gets no answer sends a command again, minutes later
 * perhaps; were it decided on what came after it, it would undo that. What a part of the program does is another
 * matter: it is named after its cause, follows from how things are, and may be right a second time.
 */
export interface Repeats {
  remember(meta: Pick<CommandMeta, 'commandId' | 'actor'>): void
  isRepeat(meta: Pick<CommandMeta, 'commandId' | 'actor'>): boolean
  forget(): void
}

/** Of one stream; what people send again they send soon. */
const rememberedMax = 200

export function createRepeats(): Repeats {
  const done = new Set<string>()
  return {
    remember({commandId, actor}) {
      if (actor.type === 'process' || done.has(commandId)) return
      done.add(commandId)
      if (done.size <= rememberedMax) return
      for (const oldest of done) {
        done.delete(oldest)
        break
      }
    },
    isRepeat: ({commandId, actor}) => actor.type !== 'process' && done.has(commandId),
    forget: () => done.clear(),
  }
}
