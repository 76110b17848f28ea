/**
 * The operator's one number: the option, else the cgroup's limit (v2, then v1), else 256 MiB.
 * `process.constrainedMemory()` is not asked: without a limit it answers with the size of the machine.
 */
import { readFileSync } from 'node:fs'
import { WeirError } from '../runtime/index.ts'

export const DEFAULT_LIMIT_BYTES = 256 * 1024 * 1024

export interface MemoryLimit {
  readonly bytes: number
  readonly source: 'option' | 'cgroup' | 'default'
}

/** Finds the limit; `read` replaces the file system in tests. */
export function findMemoryLimit(
  option: number | undefined,
  read: (path: string) => string | undefined = readFile,
): MemoryLimit {
  if (option !== undefined) return { bytes: option, source: 'option' }
  const cgroup = cgroupLimit(read)
  if (cgroup !== undefined) return { bytes: cgroup, source: 'cgroup' }
  return { bytes: DEFAULT_LIMIT_BYTES, source: 'default' }
}

function cgroupLimit(read: (path: string) => string | undefined): number | undefined {
  const own = read('/proc/self/cgroup') ?? ''
  const v2 = /^0::(.*)$/m.exec(own)?.[1] ?? '/'
  const v1 = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(own)?.[1] ?? '/'
  const candidates = [
    ...pathsUp('/sys/fs/cgroup', v2, 'memory.max'),
    ...pathsUp('/sys/fs/cgroup/memory', v1, 'memory.limit_in_bytes'),
  ]
  let least: number | undefined
  for (const path of candidates) {
    const text = read(path)?.trim()
    if (!text || !/^\d+$/.test(text)) continue
    const bytes = Number(text)
    // v1 writes "no limit" as a number near 2^63.
    if (bytes > 0 && bytes < 2 ** 50 && (least === undefined || bytes < least)) least = bytes
  }
  return least
}

/** The file in the group and in every group above it: the tightest one counts. */
function pathsUp(mount: string, group: string, file: string): string[] {
  const paths: string[] = []
  let at = group.replace(/\/+$/, '')
  while (true) {
    paths.push(`${mount}${at}/${file}`)
    if (at === '') return paths
    at = at.slice(0, at.lastIndexOf('/'))
  }
}

function readFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

const UNITS: Readonly<Record<string, number>> = Object.freeze({
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
})

/**
 * Reads a size as Kubernetes writes it: `200Mi`, `1Gi`, `500M` or plain bytes.
 *
 * @throws {WeirError} `SIZE_INVALID`
 */
export function parseBytes(text: string | number): number {
  const match = /^(\d+(?:\.\d+)?)([A-Za-z]*)$/.exec(String(text).trim())
  const unit = match ? UNITS[match[2]!] : undefined
  if (!match || unit === undefined) {
    throw new WeirError('SIZE_INVALID', `'${text}' is not a size; write for example 200Mi or 1Gi`)
  }
  return Math.floor(Number(match[1]) * unit)
}
