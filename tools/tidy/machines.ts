/**
 * Machines do no input or output: what a machine does follows from its events, its clock and its random
 * source alone, or the same seed would not give the same run.
 */
import type { AnyNode } from 'acorn'
import { importsOf } from './layers.ts'
import { type Finding, nameOf, type Source, stemOf, walk } from './source.ts'

/** Built-in modules that reach outside or wait. */
const OUTSIDE =
  /^node:(timers|net|fs|dgram|dns|tls|http|https|http2|quic|child_process|worker_threads|sqlite|readline|perf_hooks|stream|events|os)(\/|$)/

/** Global names that tell the time, wait, or roll dice. */
const AMBIENT: readonly string[] = Object.freeze([
  'setTimeout',
  'setImmediate',
  'setInterval',
  'queueMicrotask',
  'Promise',
  'performance',
  'fetch',
  'crypto',
])

/** Members of global objects that do. */
const AMBIENT_MEMBERS: readonly string[] = Object.freeze([
  'Date.now',
  'Math.random',
  'process.hrtime',
  'process.nextTick',
  'process.uptime',
])

/** Whether the rule holds for a file: `*-machine.ts`, and all of the contract in `src/machine`. */
export function isMachineFile(path: string): boolean {
  return /^packages\//.test(path) && /(^|-)machine$/.test(stemOf(path))
}

/** Checks that a machine file reaches for nothing outside. */
export function machines(source: Source): Finding[] {
  if (source.isTest || !isMachineFile(source.path)) return []
  const findings: Finding[] = []
  const found = (node: { start: number }, what: string) => {
    findings.push(source.finding('machines', node.start, `${what}: a machine does no such thing`))
  }
  for (const { from, at } of importsOf(source)) {
    if (OUTSIDE.test(from)) found({ start: at }, from)
  }
  walk(source.tree, (node, around) => {
    if (node.type === 'ImportDeclaration' && node.source.value === 'node:crypto') {
      const names = node.specifiers.map((specifier) =>
        specifier.type === 'ImportSpecifier' ? nameOf(specifier.imported) : '*',
      )
      if (names.some((name) => /^(\*|random.*|getRandomValues|webcrypto)$/.test(name ?? '*'))) {
        found(node, 'randomness of node:crypto')
      }
    }
    if (node.type === 'AwaitExpression') found(node, 'await')
    if ('async' in node && node.async === true) found(node, 'an async function')
    if (node.type === 'NewExpression' && nameOf(node.callee) === 'Date') {
      if (node.arguments.length === 0) found(node, 'new Date()')
    }
    if (node.type === 'MemberExpression') {
      const name = `${nameOf(node.object)}.${nameOf(node.property)}`
      if (AMBIENT_MEMBERS.includes(name)) found(node, name)
    }
    if (node.type === 'Identifier' && AMBIENT.includes(node.name) && isReference(node, around[0])) {
      found(node, node.name)
    }
  })
  return findings
}

/** Whether an identifier stands for a variable, and is not the name of a member. */
function isReference(node: AnyNode, parent: AnyNode | undefined): boolean {
  if (parent?.type === 'MemberExpression') return parent.object === node || parent.computed
  if (parent?.type === 'Property') return parent.value === node
  if (parent?.type === 'MethodDefinition' || parent?.type === 'PropertyDefinition') return false
  return parent?.type !== 'ImportSpecifier' && parent?.type !== 'ExportSpecifier'
}
