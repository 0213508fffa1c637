import type {Import, Scan} from './scan.ts'

// The rules of design.md, section 2, as tables. To allow an exception add one line, with its reason, to `exceptions` or
// to `extraSliceFiles`; to add a kind of file, add a zone.

export const slices = ['access', 'account', 'booking', 'calendar', 'catalogue', 'community', 'fleet', 'shop'] as const

const slice = `src/(?:${slices.join('|')})`
const kernel = /^src\/kernel\//

/** Files of a slice beside the standard ones (events, decider, policies, graphql, discord, http). */
export const extraSliceFiles: Readonly<Record<string, string>> = {
  'src/access/personal-data.ts': 'encrypts personal fields; used when commands are dispatched and views are built',
  'src/access/secrets.ts': 'reads keys from the configuration and keeps those of development',
  'src/access/tokens.ts': 'signs and checks tokens for the edges',
  'src/calendar/agenda.ts': 'the occupied intervals of a machine, searched quickly',
  'src/calendar/availability.ts': 'computes the slots that can be booked, by the rule of the agenda',
  'src/catalogue/pricing.ts': 'what a booking costs, as a pure function of the catalogue',
  'src/fleet/machine-state.ts': 'how a machine follows from its events, shared by its decider and the power process',
  'src/fleet/power.ts': 'the phases of a machine, shared by its decider and the power process',
}

/** Imports that a zone does not allow, each with its reason. */
export const exceptions: readonly {readonly file: string; readonly imports: string; readonly reason: string}[] = []

/** Which files may use the clock, chance and the environment: those where such values enter the program. */
export const ambientSources: readonly {readonly files: RegExp; readonly reason: string}[] = [
  {files: /^src\/(main|node|rebuild|config|system)\.ts$/, reason: 'the composition root and what it hands in'},
  {files: /^src\/event-store\/esdb[a-z-]*\.ts$/, reason: 'an adapter: time-outs of the outside world'},
  {files: /^src\/embedded-node\//, reason: 'an adapter: a server of its own'},
  {files: /^src\/store-(server|tools)\//, reason: 'programs of their own around the embedded node'},
  {files: /^src\/(drivers|payments)\//, reason: 'adapters: machines and gateways have clocks of their own'},
]

interface Zone {
  readonly name: string
  readonly files: RegExp
  /** Our files that it may import beside its own folder (its own file names for slices). */
  readonly may: readonly RegExp[]
  /** Packages and built-in modules that it may import. */
  readonly packages: RegExp
  /** All its files count as one folder, those of folders inside it too. */
  readonly isOneFolder?: boolean
}

const any = /./
const zod = /^zod$/
const facts = new RegExp(`^${slice}/events\\.ts$`)
const rulesOfSlices = new RegExp(
  `^${slice}/(?:events|decider|policies|machine-state|power|agenda|availability|pricing)\\.ts$`,
)
const storePorts = /^src\/event-store\/(port|handler|command|registry|metadata|subscription)\.ts$/
const driverPort = /^src\/(drivers|payments)\/port\.ts$/
const accessTools = /^src\/access\/(personal-data|secrets|tokens)\.ts$/
const servers = /^src\/(graphql|discord|http|web)\//
const dispatch = /^src\/dispatch\//
const projections = /^projections\//

/** `main.ts` and the two files it hands its work to: the only ones that build adapters and start servers. */
const compositionRoot = 'composition root'

/** Programs of their own around a store: each builds what it needs. */
const storePrograms = 'store server and tools'

/** Every file is in the first zone that names it. */
export const zones: readonly Zone[] = [
  {name: 'kernel: time', files: /^src\/kernel\/time\.ts$/, may: [], packages: /^luxon$/},
  // Of node:crypto its hash; whatever makes randomness is found by another rule.
  {name: 'kernel', files: kernel, may: [], packages: /^(zod|node:crypto)$/},
  {name: 'access tools', files: accessTools, may: [kernel], packages: /^(zod|jsonwebtoken|node:(crypto|fs|path))$/},
  {name: 'rules of a slice', files: rulesOfSlices, may: [kernel], packages: zod},
  {
    name: 'edge of a slice',
    files: new RegExp(`^${slice}/(?:graphql|discord|http)\\.ts$`),
    may: [kernel, dispatch, projections, servers, accessTools],
    packages: any,
  },
  {
    name: 'process',
    files: /^src\/processes\//,
    may: [kernel, rulesOfSlices, storePorts, driverPort],
    packages: zod,
  },
  {
    name: 'machinery of projections',
    files: /^projections\/(runner|read-models|models-file|pace)\.ts$/,
    may: [kernel, facts, storePorts],
    packages: /^node:(sqlite|crypto|fs|fs\/promises|path)$/,
  },
  {name: 'projection', files: projections, may: [kernel, facts], packages: /^node:sqlite$/},
  {
    name: 'verification',
    files: /^src\/verify\//,
    may: [kernel, facts, storePorts, /^projections\/projection\.ts$/],
    packages: /^node:sqlite$/,
  },
  {
    name: 'store adapter',
    files: /^src\/event-store\/esdb[a-z-]*\.ts$/,
    may: [kernel],
    packages: /^(@eventstore\/db-client|@grpc\/grpc-js|google-protobuf|node:)/,
  },
  {
    name: 'store port and handler',
    files: /^src\/event-store\//,
    may: [kernel],
    packages: zod,
  },
  {
    name: 'embedded node',
    files: /^src\/embedded-node\//,
    may: [],
    isOneFolder: true,
    packages: /^(@eventstore\/db-client\/generated\/|@grpc\/grpc-js|google-protobuf|zod|node:)/,
  },
  {
    name: storePrograms,
    files: /^src\/store-(server|tools)\//,
    may: [
      kernel,
      /^src\/embedded-node\//,
      /^src\/event-store\/(port|esdb[a-z-]*)\.ts$/,
      /^src\/http\//,
      /^src\/store-tools\//,
      /^src\/config(-values)?\.ts$/,
      /^src\/verify\//,
      /^src\/event-store\/registry\.ts$/,
      /^src\/event-types\.ts$/,
      /^projections\/all\.ts$/,
    ],
    packages: any,
  },
  {name: 'machine driver', files: /^src\/drivers\//, may: [kernel], packages: /^(zod|ws|node:)/},
  {name: 'payment gateway', files: /^src\/payments\//, may: [kernel], packages: /^(zod|node:)/},
  {
    name: 'dispatcher',
    files: dispatch,
    may: [kernel, rulesOfSlices, accessTools, storePorts, /^src\/processes\//],
    // The type of a key; whatever makes randomness is found by another rule.
    packages: /^(zod|node:crypto)$/,
  },
  {
    name: 'server',
    files: servers,
    may: [
      kernel,
      dispatch,
      projections,
      accessTools,
      rulesOfSlices,
      // All servers answer errors in one form.
      /^src\/http\/errors\.ts$/,
      new RegExp(`^${slice}/(?:graphql|discord|http)\\.ts$`),
    ],
    packages: any,
  },
  {name: 'importer', files: /^src\/import\//, may: [kernel, dispatch, rulesOfSlices], packages: /^(zod|node:)/},
  {name: 'configuration', files: /^src\/config(-values)?\.ts$/, may: [kernel, accessTools], packages: /^(zod|node:)/},
  {name: compositionRoot, files: /^src\/(main|node|rebuild)\.ts$/, may: [/^src\//, projections], packages: any},
  {name: 'wiring', files: /^src\/[a-z-]+\.ts$/, may: [/^src\//, projections], packages: any},
]

/** What only the composition root may import: everything behind a port, and the real clock. */
const adapters: readonly RegExp[] = [
  /^src\/event-store\/esdb/,
  /^src\/embedded-node\//,
  /^src\/(drivers|payments)\/(?!port\.ts$)/,
  /^src\/system\.ts$/,
]

export const linesPerFileMax = 400
export const linesPerFunctionMax = 70

/** All rules that a file breaks, as `path:line what`. */
export function violationsOf(file: Scan): readonly string[] {
  const zone = zones.find(({files}) => files.test(file.path))
  return [
    ...(zone === undefined ? [`${file.path}:1 belongs to no zone of tests/architecture/rules.ts`] : []),
    ...(zone === undefined ? [] : file.imports.flatMap(found => importFault(file.path, zone, found))),
    ...ambientFaults(file),
    ...nameFaults(file.path),
    ...file.categories
      .filter(({value}) => !/^[A-Za-z$][A-Za-z0-9]*$/.test(value))
      .map(({name, value, line}) => `${file.path}:${line} ${name} is "${value}": a category is letters and digits`),
    ...(file.lineCount > linesPerFileMax ? [`${file.path}:1 has ${file.lineCount} lines`] : []),
    ...file.functions
      .filter(({lineCount}) => lineCount > linesPerFunctionMax)
      .map(({name, line, lineCount}) => `${file.path}:${line} function ${name} has ${lineCount} lines of its own`),
  ]
}

function importFault(path: string, zone: Zone, {target, isOurs, line}: Import): readonly string[] {
  if (exceptions.some(({file, imports}) => file === path && imports === target)) return []
  const fault = [`${path}:${line} (${zone.name}) may not import ${target}`]
  if (!isOurs) return zone.packages.test(target) && target !== '(computed)' ? [] : fault
  if (!target.endsWith('.ts')) return fault
  const folderOf = (file: string) => file.slice(0, file.lastIndexOf('/'))
  // A folder inside a zone belongs to it.
  const isOwnFolder = folderOf(path) === folderOf(target) || (zone.files.test(target) && zone.isOneFolder === true)
  const mayBuild = zone.name === compositionRoot || zone.name === storePrograms
  if (adapters.some(adapter => adapter.test(target)) && !isOwnFolder && !mayBuild) return fault
  return isOwnFolder || zone.may.some(pattern => pattern.test(target)) ? [] : fault
}

function ambientFaults({path, ambient}: Scan): readonly string[] {
  if (ambientSources.some(({files}) => files.test(path))) return []
  return ambient.map(({what, line}) => `${path}:${line} uses ${what}: let it be handed in`)
}

const standardFiles = new Set(['events.ts', 'decider.ts', 'policies.ts', 'graphql.ts', 'discord.ts', 'http.ts'])

function nameFaults(path: string): readonly string[] {
  const faults: string[] = []
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (!/^[a-z0-9]+(-[a-z0-9]+)*\.ts$/.test(name)) faults.push(`${path}:1 is not in kebab-case`)
  const isInSlice = new RegExp(`^${slice}/`).test(path)
  if (isInSlice && !standardFiles.has(name) && extraSliceFiles[path] === undefined) {
    faults.push(`${path}:1 is no standard file of a slice; list it in extraSliceFiles with its reason`)
  }
  return faults
}
