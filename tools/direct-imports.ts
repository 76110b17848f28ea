/**
 * Leads the imports of a compiled module past the `index.js` of a folder, to the modules where the names are.
 *
 * A bundler puts into one file what the same entries can reach, and through an `index.js` everything of a folder can be
 * reached. Then who needs the memory terms of a folder would load all that the folder does.
 */
import { readFileSync } from 'node:fs'
import { dirname, relative, resolve, sep } from 'node:path'
import { type ExportNamedDeclaration, type ImportDeclaration, parse } from 'acorn'

/**
 * The text of a module with what it imports or passes on from an `index.js` below `dist` replaced, where that only
 * passes on the name.
 *
 * @param path where the module is, and what relative imports are relative to
 * @param stays folders of `dist` whose `index.js` stays
 */
export function directImports(
  text: string,
  path: string,
  dist: string,
  stays: readonly string[] = [],
): string {
  let direct = text
  // From the end, so that what stands before keeps its place.
  for (const node of parse(text, SYNTAX).body.toReversed()) {
    if (node.type !== 'ImportDeclaration' && node.type !== 'ExportNamedDeclaration') continue
    const source = String(node.source?.value ?? '')
    const target = resolve(dirname(path), source)
    if (
      !source.startsWith('.') ||
      !target.startsWith(dist + sep) ||
      !target.endsWith(`${sep}index.js`) ||
      stays.includes(relative(dist, dirname(target)))
    )
      continue
    const lines = linesOf(node, target, dirname(path))
    if (lines) direct = `${direct.slice(0, node.start)}${lines}${direct.slice(node.end)}`
  }
  return direct
}

const SYNTAX = Object.freeze({ sourceType: 'module', ecmaVersion: 'latest' } as const)

/** Undefined when the statement takes something else than names, or a name that the index makes itself. */
function linesOf(
  node: ImportDeclaration | ExportNamedDeclaration,
  index: string,
  from: string,
): string | undefined {
  const passed = passedOn(index)
  const verb = node.type === 'ImportDeclaration' ? 'import' : 'export'
  const lines: string[] = []
  for (const specifier of node.specifiers) {
    const names = namesOf(specifier)
    const origin = names && passed.get(names.taken)
    if (!origin) return
    const source = relative(from, origin.path).split(sep).join('/')
    lines.push(
      `${verb} { ${origin.name} as ${names.given} } from '${source.startsWith('.') ? source : `./${source}`}'`,
    )
  }
  return lines.length === 0 ? undefined : lines.join('; ')
}

type Specifier = (ImportDeclaration | ExportNamedDeclaration)['specifiers'][number]

/** What is taken from the index, and how it is called here; undefined when it is no name. */
function namesOf(
  specifier: Specifier,
): { readonly taken: string; readonly given: string } | undefined {
  if (specifier.type === 'ImportSpecifier' && specifier.imported.type === 'Identifier') {
    return { taken: specifier.imported.name, given: specifier.local.name }
  }
  if (
    specifier.type === 'ExportSpecifier' &&
    specifier.local.type === 'Identifier' &&
    specifier.exported.type === 'Identifier'
  ) {
    return { taken: specifier.local.name, given: specifier.exported.name }
  }
  return
}

/** What an index passes on: by its name there, the module and the name in it. */
function passedOn(index: string): Map<string, { readonly path: string; readonly name: string }> {
  const passed = new Map<string, { readonly path: string; readonly name: string }>()
  for (const node of parse(readFileSync(index, 'utf8'), SYNTAX).body) {
    if (node.type !== 'ExportNamedDeclaration' || !node.source) continue
    const source = String(node.source.value)
    if (!source.startsWith('.')) continue
    for (const { local, exported } of node.specifiers) {
      if (local.type !== 'Identifier' || exported.type !== 'Identifier') continue
      passed.set(exported.name, { path: resolve(dirname(index), source), name: local.name })
    }
  }
  return passed
}
