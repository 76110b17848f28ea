/**
 * The operator's one number: the option, else the cgroup's limit (v2, then v1), else 256 MiB.
 * `process.constrainedMemory()` is not asked: without a limit it answers with the size of the machine.
 */
import { WeirError } from '../runtime/index.ts'
import { findCgroup, type ReadText } from './cgroup.ts'

export const DEFAULT_LIMIT_BYTES = 256 * 1024 * 1024

export interface MemoryLimit {
  readonly bytes: number
  readonly source: 'option' | 'cgroup' | 'default'
}

/** Finds the limit; `read` replaces the file system in tests. */
export function findMemoryLimit(option: number | undefined, read?: ReadText): MemoryLimit {
  if (option !== undefined) return { bytes: option, source: 'option' }
  const cgroup = findCgroup(read)
  if (cgroup) return { bytes: cgroup.limitBytes, source: 'cgroup' }
  return { bytes: DEFAULT_LIMIT_BYTES, source: 'default' }
}

const UNITS = Object.freeze([
  ['', 1],
  ['k', 1e3],
  ['M', 1e6],
  ['G', 1e9],
  ['Ki', 2 ** 10],
  ['Mi', 2 ** 20],
  ['Gi', 2 ** 30],
] as const)

/**
 * Reads a size as Kubernetes writes it: `200Mi`, `1Gi`, `500M` or plain bytes.
 *
 * @throws {WeirError} `SIZE_INVALID`
 */
export function parseBytes(text: string | number): number {
  const match = /^(\d+(?:\.\d+)?)([A-Za-z]*)$/.exec(String(text).trim())
  const unit = match ? UNITS.find(([name]) => name === match[2])?.[1] : undefined
  const bytes = match && unit !== undefined ? Math.floor(Number(match[1]) * unit) : 0
  if (bytes <= 0 || bytes > Number.MAX_SAFE_INTEGER) {
    const shown = String(text).slice(0, 40)
    throw new WeirError('SIZE_INVALID', `'${shown}' is not a size; write for example 200Mi or 1Gi`)
  }
  return bytes
}
