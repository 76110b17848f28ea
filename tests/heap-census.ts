/**
 * How many live objects of each kind there are, from a heap snapshot: what a slope of bytes cannot tell, because V8 keeps
 * code, feedback and lists of code beside them.
 *
 * Memory: the snapshot as text and parsed, some hundred MiB for a heap of ten.
 */
import { getHeapSnapshot } from 'node:v8'

/** Kinds of nodes that the program makes; the rest belongs to V8. */
const OURS = new Set(['object', 'closure', 'array', 'string', 'regexp', 'symbol', 'bigint'])

interface Snapshot {
  readonly snapshot: {
    readonly meta: {
      readonly node_fields: readonly string[]
      readonly node_types: readonly [readonly string[], ...unknown[]]
    }
  }
  readonly nodes: readonly number[]
  readonly strings: readonly string[]
}

export type Census = ReadonlyMap<string, number>

export async function heapCensus(): Promise<Census> {
  const chunks: Buffer[] = []
  for await (const chunk of getHeapSnapshot()) chunks.push(Buffer.from(chunk))
  const { snapshot, nodes, strings } = JSON.parse(Buffer.concat(chunks).toString()) as Snapshot
  const fields = snapshot.meta.node_fields
  const types = snapshot.meta.node_types[0]
  const [typeAt, nameAt] = [fields.indexOf('type'), fields.indexOf('name')]
  const counts = new Map<string, number>()
  for (let at = 0; at < nodes.length; at += fields.length) {
    const type = types[nodes[at + typeAt]!]!
    if (!OURS.has(type)) continue
    // The name of a string is its text, and not what it is.
    const name = type === 'string' ? type : `${type} ${strings[nodes[at + nameAt]!]!}`.trim()
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return counts
}

/** Kinds of which there are at least so many more than before. */
export function grown(before: Census, after: Census, atLeast: number): string[] {
  const found: string[] = []
  for (const [kind, count] of after) {
    const more = count - (before.get(kind) ?? 0)
    if (more >= atLeast) found.push(`${more} more of ${kind}`)
  }
  return found
}
