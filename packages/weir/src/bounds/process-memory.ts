/**
 * Reads what the process really uses and tells the pressure. A reading that asks for a higher level is checked once
 * more after a forced collection, at most every ten seconds, because the heap also holds what is already dead.
 */
import { readFileSync } from 'node:fs'
import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Clock, type Instant, msBetween } from '../runtime/index.ts'
import type { Plan } from './plan.ts'
import type { Pressure, PressureCause } from './pressure.ts'

export interface ProcessReadings {
  /** Old space, in bytes. */
  readonly oldSpaceBytes: number
  readonly oldSpaceLimitBytes: number
  readonly arrayBuffersBytes: number
  readonly arrayBuffersLimitBytes: number
  readonly workingSetBytes: number
  readonly limitBytes: number
}

export interface ProcessMemoryOptions {
  readonly plan: Plan
  readonly pressure: Pressure
  readonly clock: Clock
  /** Replaces the readings, for tests. */
  readonly read?: () => ProcessReadings
  /** Replaces the collection, for tests. */
  readonly collect?: () => void
}

const FORCED_COLLECTION_INTERVAL_MS = 10_000

export class ProcessMemory {
  readonly #pressure: Pressure
  readonly #clock: Clock
  readonly #read: () => ProcessReadings
  readonly #collect: () => void
  #lastForced: Instant | undefined

  constructor(options: ProcessMemoryOptions) {
    this.#pressure = options.pressure
    this.#clock = options.clock
    this.#read = options.read ?? (() => readProcess(options.plan))
    this.#collect = options.collect ?? forceCollection
  }

  /** One reading; the program calls it about once a second. */
  sample(): void {
    let causes = this.#causes()
    if (this.#pressure.wouldRaise(causes)) {
      const now = this.#clock.now()
      const recent =
        this.#lastForced !== undefined &&
        msBetween(this.#lastForced, now) < FORCED_COLLECTION_INTERVAL_MS
      // Without a collection the reading proves nothing: keep the level until one may be forced again.
      if (recent) return
      this.#lastForced = now
      this.#collect()
      causes = this.#causes()
    }
    this.#pressure.process(causes)
  }

  #causes(): PressureCause[] {
    const read = this.#read()
    return [
      { source: 'old-space', used: read.oldSpaceBytes, limit: read.oldSpaceLimitBytes },
      { source: 'array-buffers', used: read.arrayBuffersBytes, limit: read.arrayBuffersLimitBytes },
      { source: 'working-set', used: read.workingSetBytes, limit: read.limitBytes },
    ]
  }
}

/** What this process uses now, beside the shares that the plan gives to each arena. */
export function readProcess(plan: Plan): ProcessReadings {
  const usage = process.memoryUsage()
  const old = getHeapSpaceStatistics().find((space) => space.space_name === 'old_space')
  const buffers = plan.rows.reduce(
    (sum, row) => sum + (row.term.arena === 'buffers' ? row.bytes : 0),
    0,
  )
  const spareBytes = Math.max(plan.limitBytes - plan.totalBytes, 0)
  return {
    oldSpaceBytes: old?.space_used_size ?? usage.heapUsed,
    oldSpaceLimitBytes: getHeapStatistics().heap_size_limit,
    arrayBuffersBytes: usage.arrayBuffers,
    // Heap rows hold byte arrays too; only what exceeds all planned accounts is a sign of its own.
    arrayBuffersLimitBytes:
      Math.max(buffers * 1.125, plan.accountBytes) + spareBytes / 2 + 8 * 2 ** 20,
    workingSetBytes: workingSetBytes(usage.rss),
    limitBytes: plan.limitBytes,
  }
}

/** The cgroup's usage less inactive file pages when the process has one of its own with a limit, else the RSS. */
export function workingSetBytes(rssBytes: number): number {
  const usage = readNumber('/sys/fs/cgroup/memory.current')
  const limit = readNumber('/sys/fs/cgroup/memory.max')
  if (usage === undefined || limit === undefined) return rssBytes
  const inactive = /^inactive_file (\d+)$/m.exec(readText('/sys/fs/cgroup/memory.stat') ?? '')
  return usage - Number(inactive?.[1] ?? 0)
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function readNumber(path: string): number | undefined {
  const text = readText(path)?.trim()
  return text && /^\d+$/.test(text) ? Number(text) : undefined
}

let collector: (() => void) | undefined

/** A full collection, whether or not the process was started with the flag for it. */
export function forceCollection(): void {
  if (!collector) {
    setFlagsFromString('--expose-gc')
    collector = runInNewContext('gc') as () => void
  }
  collector()
}
