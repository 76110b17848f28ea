/**
 * Imports point down the layers: a folder imports only from folders above it in the list of the design,
 * through their `index.ts`; packages reach each other by name only.
 */
import { posix } from 'node:path'
import { type Finding, isTestFile, type Source, walk } from './source.ts'

/** The folders of each package, in the order in which they may use each other. */
const LAYERS: Readonly<Record<string, readonly string[]>> = Object.freeze({
  weir: [
    'runtime',
    'bounds',
    'codec',
    'core',
    'machine',
    'transport',
    'quic',
    'store',
    'gossip',
    'sync',
    'blobs',
    'encryption',
    'discovery',
    'topics',
    'observe',
    'plan',
    'node',
    'cli',
  ],
  iroh: [],
  'mesh-controller': ['kube', 'api-server', 'mesh', 'app'],
})

/** The packages that a package may use by name. */
const USES: Readonly<Record<string, readonly string[]>> = Object.freeze({
  // The adapter is an optional peer: it is loaded by name when it is asked for.
  weir: ['weir-mesh-iroh'],
  iroh: ['weir-mesh'],
  'mesh-controller': ['weir-mesh', 'weir-mesh-iroh'],
})

/** The folders of the library that a folder of the controller is restricted to. */
const RESTRICTED: Readonly<Record<string, readonly string[]>> = Object.freeze({
  'mesh-controller/api-server': ['runtime', 'bounds'],
})

/** One import of a file. */
export interface Import {
  readonly from: string
  readonly at: number
}

/** Lists what a file imports, types and dynamic imports included. */
export function importsOf(source: Source): Import[] {
  const imports: Import[] = []
  walk(source.tree, (node) => {
    if (
      (node.type === 'ImportDeclaration' ||
        node.type === 'ExportNamedDeclaration' ||
        node.type === 'ExportAllDeclaration' ||
        node.type === 'ImportExpression') &&
      node.source?.type === 'Literal' &&
      typeof node.source.value === 'string'
    ) {
      imports.push({ from: node.source.value, at: node.start })
    }
  })
  // Types such as `import('./a.ts').A` are erased from the tree.
  for (const match of source.text.matchAll(/(?<!await )(?<!\/\/.*)\bimport\('([^']+)'\)\./g)) {
    imports.push({ from: match[1] as string, at: match.index })
  }
  return imports
}

/** Checks the direction of every import of a file below `packages/<name>/src`. */
export function layers(source: Source): Finding[] {
  const place = /^packages\/([^/]+)\/src\/(?:([^/]+)\/)?[^/]/.exec(source.path)
  const [, name, folder] = place ?? []
  if (name === undefined) return []
  const findings: Finding[] = []
  for (const { from, at } of importsOf(source)) {
    const message = from.startsWith('.')
      ? relativeProblem(source, name, folder, from)
      : namedProblem(name, folder, from)
    if (message !== undefined) findings.push(source.finding('layers', at, message))
  }
  return findings
}

function relativeProblem(
  source: Source,
  name: string,
  folder: string | undefined,
  from: string,
): string | undefined {
  const root = `packages/${name}/src`
  const target = posix.join(posix.dirname(source.path), from)
  const forTests = target === 'packages/weir/testing/index.ts' || isTestFile(target)
  if (forTests) return source.isTest ? undefined : `${from} is for tests only`
  if (!target.startsWith(`packages/${name}/`))
    return `${from} leaves the package: import it by name`
  // Vectors and the manifest lie beside the sources.
  if (!target.startsWith(`${root}/`)) return undefined
  const [other, ...rest] = target.slice(root.length + 1).split('/')
  if (rest.length === 0 || other === folder) return undefined
  if (rest.join('/') !== 'index.ts') {
    return `${from} reaches into ${other}: import ../${other}/index.ts`
  }
  if (source.isTest) return undefined
  const order = LAYERS[name] ?? []
  if (!order.includes(other as string)) return `${other} is no layer of ${name}`
  if (folder === undefined || order.indexOf(other as string) < order.indexOf(folder))
    return undefined
  return `${folder} may not import ${other}, which is above it`
}

function namedProblem(name: string, folder: string | undefined, from: string): string | undefined {
  const [, other, subpath] = /^(weir-mesh(?:-iroh|-controller)?)(?:\/(.+))?$/.exec(from) ?? []
  if (other === undefined) return undefined
  if (!USES[name]?.includes(other)) return `${name} may not import ${other}`
  const allowed = RESTRICTED[`${name}/${folder}`]
  if (allowed === undefined || (subpath !== undefined && allowed.includes(subpath)))
    return undefined
  return `${folder} uses of the library only ${allowed.join(' and ')}, not ${from}`
}
