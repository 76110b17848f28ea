/**
 * Rules on plain text: sizes, names, and what must not stand in anything that is handed on.
 */
import { extname } from 'node:path'
import { type Finding, lineAt } from './source.ts'

/** The most lines of one source file. */
export const LINES_MAX = 500

const CODE: readonly string[] = Object.freeze(['.ts', '.js', '.rs'])

/** Keeps files to one idea each. */
export function sizes(path: string, text: string): Finding[] {
  if (!CODE.includes(extname(path))) return []
  const lines = text.split('\n').length - 1
  if (lines <= LINES_MAX) return []
  const message = `${lines} lines, at most ${LINES_MAX}: split it by idea`
  return [{ rule: 'sizes', path, line: LINES_MAX, message }]
}

/** Paths, hosts and words that belong to one machine or mislead a reader. */
const UNWANTED: readonly (readonly [RegExp, string])[] = Object.freeze([
  [/(?<![\w.~}$*-])\/(?:work|root|Users|home\/\w+)\/[\w.]/g, 'a path of one machine'],
  [/https?:\/\/[\w.-]*registry[\w.-]*(?<!\.example)(?=[/:\s"'])/g, 'a registry host'],
  [/\bnpx\s+weir\b(?!-)/g, 'the name on npm is weir-mesh: "weir" is a package of somebody else'],
])

/** Checks the text of a file for what must not stand in it. */
export function words(path: string, text: string): Finding[] {
  const findings: Finding[] = []
  for (const [pattern, what] of UNWANTED) {
    for (const match of text.matchAll(pattern)) {
      findings.push({ rule: 'words', path, line: lineAt(text, match.index), message: what })
    }
  }
  return findings
}

/** Names that say nothing about what a thing is. */
const EMPTY_NAME =
  /^[ \t]*(?:export )?(?:abstract |async )?(?:class|interface|function|type|const) (\w*(?:Manager|Helpers?|Utils?))\b/gm

/** Checks the names of a source file and of what it declares. */
export function names(path: string, text: string): Finding[] {
  if (extname(path) !== '.ts') return []
  const findings: Finding[] = []
  const file = /(?:^|\/)([^/]*)$/.exec(path)?.[1] ?? ''
  if (/(^|-)(utils?|helpers?|manager|misc|common)[.-]/.test(file)) {
    findings.push({ rule: 'names', path, line: 1, message: `${file} says nothing` })
  }
  if (!/^[a-z0-9]+([-.][a-z0-9]+)*$/.test(file)) {
    findings.push({ rule: 'names', path, line: 1, message: `${file} is not kebab-case` })
  }
  for (const match of text.matchAll(EMPTY_NAME)) {
    const message = `${match[1]} says nothing: name what it is`
    findings.push({ rule: 'names', path, line: lineAt(text, match.index), message })
  }
  return findings
}
