/**
 * What only some folders may call: timers that repeat, combinators that leak, the end of the process.
 */
import type { AnyNode } from 'acorn'
import { type Finding, nameOf, type Source, walk } from './source.ts'

/**
 * Keeps what leaks or never ends in `runtime`: `setInterval` outlives its owner, `AbortSignal.any` and
 * `Promise.race` keep a listener on what outlives the call (measured: 1.1 kB and 0.3 kB each).
 */
export function runtimeOnly(source: Source): Finding[] {
  if (source.path.startsWith('packages/weir/src/runtime/')) return []
  const findings: Finding[] = []
  walk(source.tree, (node) => {
    if (node.type === 'MemberExpression') {
      const name = `${nameOf(node.object)}.${nameOf(node.property)}`
      if (name === 'AbortSignal.any' || name === 'Promise.race' || name.endsWith('.setInterval')) {
        findings.push(source.finding('runtime-only', node.start, `${name}: only runtime may`))
      }
    }
    const called = node.type === 'CallExpression' ? nameOf(node.callee) : undefined
    const imported = node.type === 'ImportSpecifier' ? nameOf(node.imported) : undefined
    if (called === 'setInterval' || imported === 'setInterval') {
      findings.push(source.finding('runtime-only', node.start, 'setInterval: only runtime may'))
    }
  })
  return findings
}

/** Where `process.exit` would cut off what a scope still has to close. */
const NO_EXIT = /^(packages\/[^/]+\/src\/(?!cli\/|app\/)|sim\/|examples\/)/

/** Keeps `process.exit` out of everything that is not a program. */
export function exits(source: Source): Finding[] {
  if (!NO_EXIT.test(source.path)) return []
  const findings: Finding[] = []
  walk(source.tree, (node) => {
    if (node.type !== 'MemberExpression') return
    const name = `${nameOf(node.object)}.${nameOf(node.property)}`
    if (name === 'process.exit' || name === 'process.abort') {
      findings.push(source.finding('exits', node.start, `${name}: set process.exitCode and close`))
    }
  })
  return findings
}

/** Tests all run: nothing is singled out, and what is skipped says why. */
export function testsRun(source: Source): Finding[] {
  if (!source.isTest) return []
  const findings: Finding[] = []
  walk(source.tree, (node) => {
    if (node.type !== 'CallExpression') return
    const { callee } = node
    const method = callee.type === 'MemberExpression' ? nameOf(callee.property) : undefined
    const called = callee.type === 'MemberExpression' ? nameOf(callee.object) : nameOf(callee)
    if (called === undefined || !/^(test|it|describe|suite|t|context)$/.test(called)) return
    if (method === 'only' || hasOption(node.arguments, 'only')) {
      findings.push(source.finding('tests-run', node.start, 'only: it hides the other tests'))
    }
    const silent =
      (called === 't' || called === 'context') && method === 'skip' && node.arguments.length === 0
    const always = called !== 't' && called !== 'context' && method === 'skip'
    if (silent || always || hasOption(node.arguments, 'skip')) {
      findings.push(source.finding('tests-run', node.start, 'skip: give the reason as a text'))
    }
  })
  return findings
}

/** Whether an options object sets an option to a bare `true`. */
function hasOption(args: readonly AnyNode[], option: string): boolean {
  return args.some(
    (arg) =>
      arg.type === 'ObjectExpression' &&
      arg.properties.some(
        (property) =>
          property.type === 'Property' &&
          nameOf(property.key) === option &&
          property.value.type === 'Literal' &&
          property.value.value === true,
      ),
  )
}
