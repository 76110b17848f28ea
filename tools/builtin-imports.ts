/**
 * Takes built-in modules from the process instead of importing them.
 *
 * For an import Node makes a module of every built-in one, and reads each of its names: `node:http` then loads undici,
 * `node:crypto` all of WebCrypto, `node:fs` the streams, though only a function or two is wanted. That is CPU time of
 * every start and memory of every process.
 */
import { type ImportDeclaration, parse } from 'acorn'

/** The text of a module in which imports of names of `node:` modules are constants. */
export function builtinImports(text: string): string {
  let direct = text
  // From the end, so that what stands before keeps its place.
  for (const node of parse(text, {
    sourceType: 'module',
    ecmaVersion: 'latest',
  }).body.toReversed()) {
    if (node.type !== 'ImportDeclaration' || !String(node.source.value).startsWith('node:'))
      continue
    const line = constantsOf(node)
    if (line) direct = `${direct.slice(0, node.start)}${line}${direct.slice(node.end)}`
  }
  return direct
}

/** Undefined when the statement does not only take names. */
function constantsOf({ specifiers, source }: ImportDeclaration): string | undefined {
  const names: string[] = []
  for (const specifier of specifiers) {
    if (specifier.type !== 'ImportSpecifier' || specifier.imported.type !== 'Identifier') return
    names.push(`${specifier.imported.name}: ${specifier.local.name}`)
  }
  if (names.length === 0) return
  return `const { ${names.join(', ')} } = globalThis.process.getBuiltinModule('${source.value}')`
}
