import {DriverError, type DriverKind, type MachineDriver} from './port.ts'

/** The open drivers of a node's machines, one each, and the kinds they can be of. */
export interface Fleet {
  readonly kinds: readonly string[]
  parseConfig: DriverKind['parseConfig'] extends (input: infer Input) => infer Parsed
    ? (kind: string, input: Input) => Parsed
    : never
  /** Null: no kind of that name. The driver is opened at the first call and kept. */
  driver(machineId: string, registration: DriverRegistration): MachineDriver | null
  /** What any error that a call of these drivers can end with comes to. */
  failureOf(error: unknown): Pick<DriverError, 'class' | 'message' | 'retryAfterMs'>
  close(): Promise<void>
}

export interface DriverRegistration {
  readonly kind: string
  readonly config: Readonly<Record<string, unknown>>
}

export function createFleet(kinds: readonly DriverKind[]): Fleet {
  const byName = new Map(kinds.map(kind => [kind.kind, kind]))
  const open = new Map<string, {readonly registration: string; readonly driver: MachineDriver}>()
  return {
    kinds: [...byName.keys()],
    parseConfig(name, input) {
      const kind = byName.get(name)
      return kind?.parseConfig(input) ?? {ok: false, faults: [{field: 'kind', message: 'no such driver'}]}
    },
    driver(machineId, registration) {
      const kind = byName.get(registration.kind)
      if (kind === undefined) return null
      const known = open.get(machineId)
      const asText = JSON.stringify(registration)
      if (known?.registration === asText) return known.driver
      const driver = kind.open(machineId, registration.config)
      open.set(machineId, {registration: asText, driver})
      return driver
    },
    failureOf,
    async close() {
      await Promise.allSettled([...open.values()].map(({driver}) => driver.close()))
      open.clear()
    },
  }
}

/** What is no `DriverError` is a bug and tried again like a fault. */
function failureOf(error: unknown): ReturnType<Fleet['failureOf']> {
  if (error instanceof DriverError) return error
  return {class: 'transient', message: error instanceof Error ? error.message : 'unknown error', retryAfterMs: null}
}
