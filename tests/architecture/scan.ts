import {posix} from 'node:path'
import {parseSync} from 'vite'

/** What the rules look at in one source file. Lines count from 1. */
export interface Scan {
  readonly path: string
  readonly lineCount: number
  readonly imports: readonly Import[]
  /** Uses of the clock, of chance and of the environment, as written, e.g. `Date.now`. */
  readonly ambient: readonly {readonly what: string; readonly line: number}[]
  readonly functions: readonly {readonly name: string; readonly line: number; readonly lineCount: number}[]
  /** Constants whose name ends in `Category`, with their text. */
  readonly categories: readonly {readonly name: string; readonly value: string; readonly line: number}[]
}

export interface Import {
  /** A path from the root of the project for our own files, else the name as written. */
  readonly target: string
  readonly isOurs: boolean
  readonly line: number
}

type Node = {readonly type: string; readonly start: number; readonly end: number} & Readonly<Record<string, unknown>>

/** Reads one TypeScript source; `path` is from the root of the project. Throws when it does not parse. */
export function scan(path: string, source: string): Scan {
  const {program, errors} = parseSync(path, source)
  if (errors.length > 0) throw new Error(`${path} does not parse: ${errors[0]?.message}`)
  const nodes = [...walk(program)]
  const lineOf = (offset: number) => source.slice(0, offset).split('\n').length
  return {
    path,
    lineCount: source.trimEnd().split('\n').length,
    imports: nodes.flatMap(node => importOf(node, path, lineOf)),
    ambient: nodes.flatMap(node => ambientOf(node).map(what => ({what, line: lineOf(node.start)}))),
    functions: nodes.flatMap(node => functionOf(node, lineOf)),
    categories: nodes.flatMap(node => categoryOf(node, lineOf)),
  }
}

function* walk(value: unknown): Generator<Node> {
  if (Array.isArray(value)) for (const item of value) yield* walk(item)
  else if (isNode(value)) {
    yield value
    for (const part of Object.values(value)) if (typeof part === 'object') yield* walk(part)
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}

const importTypes = new Set([
  'ImportDeclaration',
  'ExportAllDeclaration',
  'ExportNamedDeclaration',
  'ImportExpression',
  'TSImportType',
])

function importOf(node: Node, path: string, lineOf: (offset: number) => number): readonly Import[] {
  if (!importTypes.has(node.type)) return []
  const specifier = isNode(node.source) ? node.source.value : null
  if (typeof specifier !== 'string') {
    // `export const …` has no source; an import of a computed name hides from every rule, so it is named as such.
    return node.type === 'ImportExpression' ? [{target: '(computed)', isOurs: false, line: lineOf(node.start)}] : []
  }
  const isOurs = specifier.startsWith('.')
  const target = isOurs ? posix.join(posix.dirname(path), specifier) : specifier
  return [{target, isOurs, line: lineOf(node.start)}]
}

const ambientMembers = new Set(['Date.now', 'Math.random', 'process.env', 'performance.now', 'process.hrtime'])
const ambientNames = new Set(['randomUUID', 'randomBytes', 'randomInt', 'getRandomValues'])

function ambientOf(node: Node): readonly string[] {
  if (node.type === 'MemberExpression' && isNode(node.object) && isNode(node.property)) {
    const member = `${String(node.object.name)}.${String(node.property.name ?? node.property.value)}`
    if (ambientMembers.has(member)) return [member]
    return node.object.name === 'crypto' && ambientNames.has(String(node.property.name)) ? [member] : []
  }
  if (node.type === 'ImportSpecifier' && isNode(node.imported) && ambientNames.has(String(node.imported.name))) {
    return [String(node.imported.name)]
  }
  const isDate = isNode(node.callee) && node.callee.name === 'Date'
  if (node.type === 'CallExpression' && isDate) return ['Date()']
  if (node.type === 'NewExpression' && isDate && (node.arguments as readonly unknown[]).length === 0) {
    return ['new Date()']
  }
  return []
}

const functionTypes = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'])

/** A function with the lines that are its own: those of functions inside it are counted there. */
function functionOf(node: Node, lineOf: (offset: number) => number): Scan['functions'] {
  if (!functionTypes.has(node.type)) return []
  const linesOf = ({start, end}: Node) => lineOf(end) - lineOf(start) + 1
  const inner = outermostFunctions(node).filter(found => linesOf(found) > 1)
  const lineCount = inner.reduce((sum, found) => sum - linesOf(found) + 1, linesOf(node))
  const name = isNode(node.id) ? String(node.id.name) : '(unnamed)'
  return [{name, line: lineOf(node.start), lineCount}]
}

function outermostFunctions(node: Node): readonly Node[] {
  const search = (value: unknown): readonly Node[] => {
    if (Array.isArray(value)) return value.flatMap(search)
    if (!isNode(value)) return []
    return functionTypes.has(value.type) ? [value] : Object.values(value).flatMap(search)
  }
  return Object.values(node).flatMap(search)
}

function categoryOf(node: Node, lineOf: (offset: number) => number): Scan['categories'] {
  if (node.type !== 'VariableDeclarator' || !isNode(node.id) || !isNode(node.init)) return []
  const name = String(node.id.name)
  const value = node.init.value
  return /category$/i.test(name) && typeof value === 'string' ? [{name, value, line: lineOf(node.start)}] : []
}
