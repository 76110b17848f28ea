/**
 * One source file as the tidy rules see it: its text, its syntax tree, and what it may do by a comment.
 *
 * Types are erased by Node itself, which keeps every position; `import type` is made a plain import first,
 * because a layer that leans on another for its types leans on it.
 */
import { stripTypeScriptTypes } from 'node:module'
import { basename } from 'node:path'
import { type AnyNode, type Comment, type Program, parse } from 'acorn'

/** What a rule found. */
export interface Finding {
  readonly rule: string
  readonly path: string
  readonly line: number
  readonly message: string
}

/** A parsed file. */
export interface Source {
  /** From the root of the checkout, with slashes. */
  readonly path: string
  readonly text: string
  readonly tree: Program
  readonly isTest: boolean
  /** Makes a finding at a position of the text. */
  finding(rule: string, at: number, message: string): Finding
}

/** A comment that lets one line break a rule: `// tidy: containers: the reason why`. */
const EXCEPTION = /^\s*tidy: ([a-z-]+): (.{10,})/

/**
 * Parses a file.
 *
 * @throws {SyntaxError} when it is not valid, which the compiler would say as well
 */
export function parseSource(path: string, text: string): Source {
  const comments: Comment[] = []
  const valued = text.replaceAll(
    /^(\s*)(import|export) type(?= [\w*{][^;=()]*? from ['"])/gm,
    (_, space: string, word: string) => `${space}${word}     `,
  )
  const code = path.endsWith('.ts') ? stripTypeScriptTypes(valued) : valued
  const tree = parse(code, {
    ecmaVersion: 'latest',
    sourceType: 'module',
    allowHashBang: true,
    onComment: comments,
  })
  return {
    path,
    text,
    tree,
    isTest: isTestFile(path),
    finding: (rule, at, message) => ({ rule, path, line: lineAt(text, at), message }),
  }
}

/** Whether a file is a test or exists for tests only. */
export function isTestFile(path: string): boolean {
  return (
    /\.(test|bench|costs|suite|fixture)\.ts$/.test(path) ||
    /(^|\/)(conformance|fixture|fixtures|testing)[./]/.test(path)
  )
}

/** Removes the findings that a comment on the same line or on the line above allows, with a reason. */
export function withoutExceptions(text: string, findings: readonly Finding[]): Finding[] {
  const lines = text.split('\n')
  return findings.filter(({ rule, line }) => {
    const near = [lines[line - 1], lines[line - 2]]
    return !near.some((candidate) => {
      const comment = candidate?.split('//')[1]
      return comment !== undefined && EXCEPTION.exec(comment)?.[1] === rule
    })
  })
}

/** The line of a position, from 1. */
export function lineAt(text: string, at: number): number {
  let line = 1
  for (let i = text.indexOf('\n'); i >= 0 && i < at; i = text.indexOf('\n', i + 1)) line++
  return line
}

/** Calls back for every node of a tree, the outer ones first, with the nodes around it. */
export function walk(
  node: AnyNode,
  visit: (node: AnyNode, around: readonly AnyNode[]) => void,
  around: readonly AnyNode[] = [],
): void {
  visit(node, around)
  const inside = [node, ...around]
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) walk(child, visit, inside)
    }
  }
}

/** The name that an identifier, a private name or a text literal spells. */
export function nameOf(node: AnyNode | null | undefined): string | undefined {
  if (node?.type === 'Identifier') return node.name
  if (node?.type === 'PrivateIdentifier') return `#${node.name}`
  if (node?.type === 'Literal' && typeof node.value === 'string') return node.value
  return undefined
}

/** The file name of a path without its extension. */
export function stemOf(path: string): string {
  return basename(path).replace(/\.[a-z]+$/, '')
}

function isNode(value: unknown): value is AnyNode {
  return (
    typeof value === 'object' && value !== null && typeof Reflect.get(value, 'type') === 'string'
  )
}
