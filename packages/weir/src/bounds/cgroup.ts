/**
 * The memory limit that the kernel holds this process to, and what counts against it: cgroups v2 and v1.
 *
 * Of the own group and every group above it the tightest limit counts. Inside a container the path of the group often
 * does not exist; the files at the mount point are then those of the container.
 */
import { readFileSync } from 'node:fs'

/** The text of a file, undefined when it cannot be read. */
export type ReadText = (path: string) => string | undefined

export interface Cgroup {
  readonly version: 1 | 2
  readonly folder: string
  readonly limitBytes: number
}

/** The group with the tightest limit, undefined when no group has one. */
export function findCgroup(read: ReadText = readText): Cgroup | undefined {
  const own = read('/proc/self/cgroup') ?? ''
  const v2 = /^0::(.*)$/m.exec(own)?.[1] ?? '/'
  const v1 = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(own)?.[1] ?? '/'
  let tightest: Cgroup | undefined
  const look = (version: 1 | 2, folder: string, file: string) => {
    const limitBytes = number(read(`${folder}/${file}`))
    // v1 writes "no limit" as a number near 2^63, v2 as a word.
    if (limitBytes === undefined || limitBytes === 0 || limitBytes >= 2 ** 50) return
    if (!tightest || limitBytes < tightest.limitBytes) tightest = { version, folder, limitBytes }
  }
  for (const folder of upwards('/sys/fs/cgroup', v2)) look(2, folder, 'memory.max')
  for (const folder of upwards('/sys/fs/cgroup/memory', v1))
    look(1, folder, 'memory.limit_in_bytes')
  return tightest
}

/** What the group uses less the file pages that the kernel can drop: what the OOM killer looks at, nearly. */
export function cgroupWorkingSet(group: Cgroup, read: ReadText = readText): number | undefined {
  const file = group.version === 2 ? 'memory.current' : 'memory.usage_in_bytes'
  const usage = number(read(`${group.folder}/${file}`))
  if (usage === undefined) return undefined
  const stat = read(`${group.folder}/memory.stat`) ?? ''
  const inactive = group.version === 2 ? /^inactive_file (\d+)$/m : /^total_inactive_file (\d+)$/m
  return Math.max(usage - Number(inactive.exec(stat)?.[1] ?? 0), 0)
}

/** The folder of a group and of every group above it. */
function* upwards(mount: string, group: string): IterableIterator<string> {
  let at = group.replace(/\/+$/, '')
  while (at !== '') {
    yield `${mount}${at}`
    at = at.slice(0, Math.max(at.lastIndexOf('/'), 0))
  }
  yield mount
}

function number(text: string | undefined): number | undefined {
  const trimmed = text?.trim()
  return trimmed && /^\d+$/.test(trimmed) ? Number(trimmed) : undefined
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
