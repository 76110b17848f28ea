/** Reads the vectors that the Rust crates made. For tests only: nothing of this folder is published. */
import { readFileSync } from 'node:fs'

export interface Vector {
  readonly name: string
  readonly group: string
  readonly description: string
  // The shape differs per group and is looked at by the test of the group.
  readonly input: { readonly [field: string]: unknown }
  readonly output: { readonly [field: string]: unknown }
}

const file = new URL('./rust-vectors.json', import.meta.url)
const all: readonly Vector[] = JSON.parse(readFileSync(file, 'utf8')).vectors

/** Every group with its vectors, in the order of the file. */
export function vectorGroups(): ReadonlyMap<string, readonly Vector[]> {
  return Map.groupBy(all, (vector) => vector.group)
}

/** The vectors of one group; an unknown group is a mistake of the test. */
export function vectorsOf(group: string): readonly Vector[] {
  const found = all.filter((vector) => vector.group === group)
  if (found.length === 0) throw new Error(`there are no vectors of the group ${group}`)
  return found
}

/** A text field. */
export function text(fields: { readonly [field: string]: unknown }, name: string): string {
  const value = fields[name]
  if (typeof value !== 'string') throw new Error(`the field ${name} is no text`)
  return value
}

/** Bytes: hex, `{ hex }`, or `{ pattern, length }`, for which only `(i * 7 + 13) mod 256` is known. */
export function bytes(value: unknown): Uint8Array {
  if (typeof value === 'string') return Uint8Array.from(Buffer.from(value, 'hex'))
  const { hex, pattern, length } = value as { hex?: string; pattern?: string; length?: number }
  if (hex !== undefined) return Uint8Array.from(Buffer.from(hex, 'hex'))
  if (pattern !== '(i * 7 + 13) mod 256') throw new Error(`the pattern ${pattern} is unknown`)
  return Uint8Array.from({ length: length ?? 0 }, (_, at) => (at * 7 + 13) % 256)
}

/** Whether Rust took it: the first word of a verdict is the requirement, the rest is its own text. */
export function accepted(verdict: unknown): boolean {
  const word = /^(accept|reject)\b/.exec(String(verdict))?.[1]
  if (word === undefined) throw new Error(`no verdict: ${String(verdict)}`)
  return word === 'accept'
}
