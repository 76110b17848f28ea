/**
 * The tidy rules: what the compiler and the linter cannot see, checked on the syntax tree and the text.
 *
 * A line may break a rule with a reason on it or on the line above: `// tidy: <rule>: <reason>`.
 */
import { readFileSync } from 'node:fs'
import { extname, join, relative } from 'node:path'
import { filesBelow, ROOT } from '../files.ts'
import { exits, runtimeOnly, testsRun } from './calls.ts'
import { containers } from './containers.ts'
import { layers } from './layers.ts'
import { machines } from './machines.ts'
import { type Finding, parseSource, type Source, withoutExceptions } from './source.ts'
import { names, sizes, words } from './text.ts'

export type { Finding } from './source.ts'

/** Rules on the syntax tree of a source file. */
const TREE_RULES: Readonly<Record<string, (source: Source) => Finding[]>> = Object.freeze({
  layers,
  containers,
  'runtime-only': runtimeOnly,
  exits,
  machines,
  'tests-run': testsRun,
})

/** Rules on the text of any file. */
const TEXT_RULES: Readonly<Record<string, (path: string, text: string) => Finding[]>> =
  Object.freeze({ sizes, words, names })

/** The names of all rules. */
export const RULES: readonly string[] = Object.freeze([
  ...Object.keys(TREE_RULES),
  ...Object.keys(TEXT_RULES),
])

/** Checks one file with every rule that is for it. */
export function tidy(path: string, text: string): Finding[] {
  const findings = Object.values(TEXT_RULES).flatMap((rule) => rule(path, text))
  if (['.ts', '.js'].includes(extname(path))) {
    const source = parseSource(path, text)
    findings.push(...Object.values(TREE_RULES).flatMap((rule) => rule(source)))
  }
  return withoutExceptions(text, findings)
}

/** Files without text of ours. */
const SKIPPED =
  /(^package-lock\.json|Cargo\.lock|\/vectors\/.*\.json|\/corpus\/.*|\.(png|bin|gz|tgz))$/

/** The files of the checkout that the rules are for, from its root. */
export function tidyFiles(): string[] {
  return filesBelow(ROOT)
    .map((file) => relative(ROOT, file))
    .filter((path) => !SKIPPED.test(path))
}

/** Checks every file of the checkout. */
export function tidyCheckout(): Finding[] {
  return tidyFiles().flatMap((path) => tidy(path, readFileSync(join(ROOT, path), 'utf8')))
}
