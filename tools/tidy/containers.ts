/**
 * What can grow is a container of `bounds`: no class keeps a Map, Set or array of its own, and no module has
 * one that can be changed. `runtime` lies below `bounds` and cannot use it, so it gives a reason by comment.
 */
import type { AnyNode, PropertyDefinition, VariableDeclarator } from 'acorn'
import { type Finding, nameOf, type Source, walk } from './source.ts'

const ADVICE = 'use a container of bounds, or freeze it'

/** Checks the classes and the module scope of a file of a package. */
export function containers(source: Source): Finding[] {
  if (source.isTest || !/^packages\/[^/]+\/src\/(?!bounds\/)/.test(source.path)) return []
  const findings: Finding[] = []
  const reported = (at: number, name: string | undefined) => {
    findings.push(source.finding('containers', at, `${name} is a raw container: ${ADVICE}`))
  }
  for (const statement of source.tree.body) {
    const declaration =
      statement.type === 'ExportNamedDeclaration' ? statement.declaration : statement
    if (declaration?.type !== 'VariableDeclaration') continue
    for (const variable of declaration.declarations) {
      if (isOpenVariable(source, variable)) reported(variable.start, nameOf(variable.id))
    }
  }
  walk(source.tree, (node) => {
    if (node.type !== 'ClassBody') return
    const names: (string | undefined)[] = []
    for (const member of node.body) {
      if (member.type !== 'PropertyDefinition' || !isOpenField(source, member)) continue
      names.push(nameOf(member.key))
      reported(member.start, nameOf(member.key))
    }
    walk(node, (inner) => {
      if (inner.type !== 'AssignmentExpression' || !isOpenValue(inner.right)) return
      const left = inner.left
      if (left.type !== 'MemberExpression' || left.object.type !== 'ThisExpression') return
      const name = nameOf(left.property)
      if (!names.includes(name)) reported(inner.start, name)
      names.push(name)
    })
  })
  return findings
}

/** Whether an expression makes a container that can be changed. */
function isOpenValue(node: AnyNode | null | undefined): boolean {
  if (node == null) return false
  if (node.type === 'ArrayExpression') return true
  if (node.type === 'ConditionalExpression') {
    return isOpenValue(node.consequent) || isOpenValue(node.alternate)
  }
  if (node.type === 'LogicalExpression') return isOpenValue(node.left) || isOpenValue(node.right)
  if (node.type !== 'NewExpression' && node.type !== 'CallExpression') return false
  const callee = node.callee
  if (callee.type === 'MemberExpression') {
    if (nameOf(callee.object) === 'Array') return true
    // Object.freeze does not close a Map or Set; one that starts empty can only be meant to grow.
    if (nameOf(callee.object) !== 'Object' || nameOf(callee.property) !== 'freeze') return false
    const inner = node.arguments[0]
    return inner?.type === 'NewExpression' && inner.arguments.length === 0
  }
  const name = nameOf(callee)
  return name === 'Array' || (node.type === 'NewExpression' && (name === 'Map' || name === 'Set'))
}

/** Whether a variable of a module is a container that can be changed; tables are not. */
function isOpenVariable(source: Source, variable: VariableDeclarator): boolean {
  const { id, init } = variable
  if (init == null || !isOpenValue(init)) return false
  if (/^\s*as const\b/.test(source.text.slice(init.end, init.end + 40))) return false
  const filled =
    init.type === 'ArrayExpression'
      ? init.elements.length > 0
      : init.type === 'NewExpression' && init.arguments.length > 0
  const annotation = source.text.slice(idEnd(id), init.start)
  return !(filled && /^\s*:\s*(Readonly(Map|Set|Array)<|readonly )/.test(annotation))
}

/** The end of a name; the tree may count an erased annotation to it or not. */
function idEnd(id: AnyNode): number {
  return id.type === 'Identifier' ? id.start + id.name.length : id.end
}

/** Whether a field is a container, by its value or by its annotation. */
function isOpenField(source: Source, field: PropertyDefinition): boolean {
  if (isOpenValue(field.value)) return true
  const end = field.value?.start
  const annotation = annotationAfter(source.text, field.key.end, end)
  return unionOf(annotation).some(
    (part) => /^(Map|Set|Array)</.test(part) || (/\[\]$/.test(part) && !/^readonly /.test(part)),
  )
}

/** The text of a type annotation that starts at a position, or nothing. */
function annotationAfter(text: string, start: number, end: number | undefined): string {
  const colon = /^[?!]?\s*:\s*/.exec(text.slice(start, start + 20))
  if (colon === null) return ''
  const from = start + colon[0].length
  if (end !== undefined) return text.slice(from, end).replace(/=\s*$/, '')
  let depth = 0
  for (let i = from; i < text.length; i++) {
    const char = text.charAt(i)
    if ('<({['.includes(char)) depth++
    else if (')}]'.includes(char) || (char === '>' && text[i - 1] !== '=')) depth--
    const continues = /[|&]\s*$/.test(text.slice(from, i)) || /^\s*[|&]/.test(text.slice(i + 1))
    if (depth < 0 || (depth === 0 && /[;\n]/.test(char) && !continues)) {
      return text.slice(from, i)
    }
  }
  return text.slice(from)
}

/** The members of a union, function types left out: they hold nothing. */
function unionOf(type: string): string[] {
  const parts = ['']
  let depth = 0
  for (let i = 0; i < type.length; i++) {
    const char = type.charAt(i)
    if ('<({['.includes(char)) depth++
    else if (')}]'.includes(char) || (char === '>' && type[i - 1] !== '=')) depth--
    if (char === '|' && depth === 0) parts.push('')
    else parts[parts.length - 1] += char
    if (depth === 0 && type.startsWith('=>', i)) return []
  }
  return parts.map((part) => part.trim())
}
