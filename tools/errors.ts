/**
 * `docs/errors.md` from the sources: every stable code with where it is raised and what it says.
 *
 *     node tools/with-node.js tools/errors.ts            writes the file
 *     node tools/with-node.js tools/errors.ts --check    fails when it is not current
 *
 * A code is the first argument of an error class, here or in its `super` call. Where codes come from a table, every name
 * in capitals of that file counts, with the comment above it.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { AnyNode, CallExpression, NewExpression } from 'acorn'
import { filesBelow, ROOT } from './files.ts'
import { isTestFile, lineAt, nameOf, parseSource, type Source, walk } from './tidy/source.ts'

/** One place that raises a code. */
export interface RaisedError {
  readonly code: string
  readonly path: string
  /** What it says, with `…` for what is filled in. */
  readonly message: string
  readonly retryable: boolean
}

const DOCUMENT = 'docs/errors.md'
const CODE = /^[A-Z][A-Z0-9]*(_[A-Z0-9…]+)*$/
/** In a table a name without an underscore may be anything. */
const TABLE_CODE = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/

/** The codes that one file raises. */
export function errorsOf(path: string, text: string): RaisedError[] {
  if (!/\bextends WeirError\b|new \w+Error\(/.test(text)) return []
  const source = parseSource(path, text)
  const found: RaisedError[] = []
  let fromTable = false
  walk(source.tree, (node, around) => {
    if (!isErrorCall(node, around)) return
    const [first, second, third] = node.arguments
    const code = textOf(first)
    if (code !== undefined && CODE.test(code)) {
      const message = oneLine(textOf(second) ?? '')
      found.push({ code, path, message, retryable: isRetryable(third) })
    } else if (first !== undefined && !isForeign(node) && around.every((at) => !isOwnClass(at))) {
      fromTable = true
    }
  })
  if (fromTable || /CODE_OF_|_CODES\b/.test(text)) found.push(...tableOf(source, found))
  return found
}

/** `new SomethingError(…)`, or `super(…)` in a class that extends one. */
function isErrorCall(
  node: AnyNode,
  around: readonly AnyNode[],
): node is NewExpression | CallExpression {
  if (node.type === 'NewExpression') return /Error$/.test(nameOf(node.callee) ?? '')
  if (node.type !== 'CallExpression' || node.callee.type !== 'Super') return false
  const owner = around.find((at) => at.type === 'ClassDeclaration')
  return owner?.type === 'ClassDeclaration' && /Error$/.test(nameOf(owner.superClass) ?? '')
}

/** Classes of the language, whose first argument is a text for people. */
function isForeign(node: NewExpression | CallExpression): boolean {
  const name = nameOf(node.callee)
  return name !== undefined && /^(Assertion|Type|Range|Syntax|Reference|)Error$/.test(name)
}

/** An error class that hands on the code it was given says nothing itself. */
function isOwnClass(node: AnyNode): boolean {
  return node.type === 'ClassDeclaration' && /Error$/.test(nameOf(node.id) ?? '')
}

function tableOf(source: Source, found: readonly RaisedError[]): RaisedError[] {
  const codes: RaisedError[] = []
  walk(source.tree, (node) => {
    const at = node.type === 'Property' ? node.key : node
    const code = at.type === 'Literal' || node.type === 'Property' ? nameOf(at) : undefined
    if (code === undefined || !TABLE_CODE.test(code)) return
    if ([...found, ...codes].some((known) => known.code === code)) return
    const above = source.text.split('\n')[lineAt(source.text, at.start) - 2] ?? ''
    const message = /^\s*\/\*\* (.*?) \*\/$/.exec(above)?.[1] ?? ''
    codes.push({ code, path: source.path, message, retryable: false })
  })
  return codes
}

/** A text, with `…` for what is filled in; undefined for anything that is not written out. */
function textOf(node: AnyNode | undefined): string | undefined {
  if (node?.type === 'TemplateLiteral') {
    return node.quasis.map((part) => part.value.cooked ?? '').join('…')
  }
  if (node?.type === 'BinaryExpression' && node.operator === '+') {
    return `${textOf(node.left as AnyNode) ?? '…'}${textOf(node.right) ?? '…'}`
  }
  return node?.type === 'Literal' && typeof node.value === 'string' ? node.value : undefined
}

function isRetryable(node: AnyNode | undefined): boolean {
  return (
    node?.type === 'ObjectExpression' &&
    node.properties.some(
      (each) =>
        each.type === 'Property' &&
        nameOf(each.key) === 'retryable' &&
        !(each.value.type === 'Literal' && each.value.value === false),
    )
  )
}

const oneLine = (text: string) => text.replaceAll(/\s+/g, ' ').trim()

/** The document: one row per code, with what it says in each file. */
export function errorsDocument(raised: readonly RaisedError[]): string {
  const rows = Map.groupBy(raised, ({ code }) => code)
  const lines = [...rows.keys()].sort().map((code) => {
    const places = rows.get(code)!
    const files = [...new Set(places.map(({ path }) => `\`${shortPath(path)}\``))]
    const messages = [...new Set(places.map(({ message }) => message))].filter(
      (text) => text !== '',
    )
    const again = places.some(({ retryable }) => retryable) ? 'yes' : ''
    const meaning = messages.map((text) => text.replaceAll('|', '\\|')).join('<br>')
    return `| \`${code}\` | ${meaning} | ${again} | ${files.join('<br>')} |`
  })
  return `${HEAD}${lines.join('\n')}\n`
}

const shortPath = (path: string) => path.replace(/^packages\//, '').replace('/src/', '/')

const HEAD = `# Error codes

Generated from the sources by \`tools/errors.ts\`; do not edit.

Every error that a caller can act on is a \`WeirError\` with a stable \`code\`. The message says what happened and what to
do; \`…\` stands for what is filled in. "Again" says that the same call may succeed later without a change by the caller
(\`retryable\`). An empty cell: the text comes from the other side or from a table. An error that names a limit carries
\`limit: { scope, limit, used, wanted }\`, and what lies under it is its
\`cause\`. An \`AssertionError\` has no code: it is a bug in the program.

| Code | What it says | Again | Raised in |
|---|---|---|---|
`

/** Every code of the packages. */
export function allErrors(): RaisedError[] {
  return filesBelow(join(ROOT, 'packages'))
    .map((file) => relative(ROOT, file))
    .filter((path) => /^packages\/[^/]+\/src\/.*\.ts$/.test(path) && !isTestFile(path))
    .flatMap((path) => errorsOf(path, readFileSync(join(ROOT, path), 'utf8')))
}

if (import.meta.main) {
  const text = errorsDocument(allErrors())
  const file = join(ROOT, DOCUMENT)
  if (!process.argv.includes('--check')) {
    writeFileSync(file, text)
    console.log(`wrote ${DOCUMENT}`)
  } else if (readFileSync(file, 'utf8') !== text) {
    console.error(`${DOCUMENT} is not current: run "node tools/with-node.js tools/errors.ts".`)
    process.exitCode = 1
  }
}
