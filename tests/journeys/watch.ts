import {createClient} from 'graphql-sse'

/** A subscription that is open, over server-sent events. */
export interface Watch<Data> {
  /** All it was told up to now. */
  readonly seen: readonly Data[]
  /** Resolves with the first it was or is told that is meant; rejects when the subscription ends first. */
  until(isMeant: (data: Data) => boolean): Promise<Data>
  close(): void
}

interface Subscription {
  readonly url: string
  readonly headers: Record<string, string>
  readonly query: string
  readonly variables: Readonly<Record<string, unknown>>
}

/** Resolves once the server has taken the subscription: whatever changes from then on is told. */
export async function openWatch<Data>({url, headers, query, variables}: Subscription): Promise<Watch<Data>> {
  const open = Promise.withResolvers<void>()
  const client = createClient({url, headers, retryAttempts: 0, on: {connected: () => open.resolve()}})
  const seen: Data[] = []
  const looks = new Set<() => void>()
  let end: Error | null = null
  const tell = (): void => looks.forEach(look => look())
  const finish = (error: Error): void => {
    end ??= error
    open.reject(end)
    tell()
  }
  client.subscribe<Data>(
    {query, variables},
    {
      next({data, errors}) {
        if (errors !== undefined) return finish(new Error(errors.map(({message}) => message).join('; ')))
        if (data !== undefined && data !== null) seen.push(data)
        tell()
      },
      error: error => finish(error instanceof Error ? error : new Error(String(error))),
      complete: () => finish(new Error('the subscription is complete')),
    },
  )
  await open.promise
  return {
    seen,
    close: () => client.dispose(),
    until: isMeant =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = seen.find(isMeant)
          if (found === undefined && end === null) return
          looks.delete(look)
          if (found !== undefined) resolve(found)
          else reject(new Error(`${end?.message}, after ${JSON.stringify(seen)}`))
        }
        looks.add(look)
        look()
      }),
  }
}
