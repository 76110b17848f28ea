/**
 * Reads what the process really uses and tells the pressure. A reading that asks for a higher level is checked once
 * more after a forced collection, at most every ten seconds, because the heap also holds what is already dead.
 */
import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Clock, type Instant, msBetween } from '../runtime/index.ts'
import { cgroupWorkingSet, findCgroup, type ReadText } from './cgroup.ts'
import { trimNativeHeap } from './native-heap.ts'
import type { Plan } from './plan.ts'
import type { Pressure, PressureCause } from './pressure.ts'

export interface ProcessReadings {
  /** The old generation with its large objects, in bytes. */
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
export function readProcess(plan: Plan, read?: ReadText): ProcessReadings {
  const usage = process.memoryUsage()
  const buffers = plan.rows.reduce(
    (sum, row) => sum + (row.term.arena === 'buffers' ? row.bytes : 0),
    0,
  )
  const spareBytes = Math.max(plan.limitBytes - plan.totalBytes, 0)
  return {
    oldSpaceBytes: oldSpaceBytes(),
    oldSpaceLimitBytes: getHeapStatistics().heap_size_limit,
    arrayBuffersBytes: usage.arrayBuffers,
    // Heap rows hold byte arrays too; only what exceeds all planned accounts is a sign of its own.
    arrayBuffersLimitBytes:
      Math.max(buffers * 1.125, plan.accountBytes) + spareBytes / 2 + 8 * 2 ** 20,
    workingSetBytes: workingSetBytes(plan.limitBytes, usage.rss, read),
    limitBytes: plan.limitBytes,
  }
}

/** All that the flag for old space limits: also large objects, where the tables of maps lie, and code. */
function oldSpaceBytes(): number {
  let bytes = 0
  for (const space of getHeapSpaceStatistics()) {
    if (!YOUNG_OR_SHARED.test(space.space_name)) bytes += space.space_used_size
  }
  return bytes
}

const YOUNG_OR_SHARED = /^(new_|read_only_|shared_)/

/**
 * The working set of the cgroup when it is the cgroup that limits us, else the RSS: a group with more room than our
 * limit may hold others, and what they use is not ours.
 */
function workingSetBytes(limitBytes: number, rssBytes: number, read?: ReadText): number {
  const group = findCgroup(read)
  if (!group || group.limitBytes > limitBytes) return rssBytes
  return cgroupWorkingSet(group, read) ?? rssBytes
}

/** The `gc` of V8; `last-resort` is what V8 itself does before it gives up for want of memory. */
type Collector = (options?: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void

let found: Collector | undefined

function collector(): Collector {
  if (!found) {
    setFlagsFromString('--expose-gc')
    found = runInNewContext('gc') as Collector
  }
  return found
}

/** A full collection, whether or not the process was started with the flag for it. */
export function forceCollection(): void {
  collector()()
}

/**
 * A collection after which V8 gives its empty pages back: it collects until nothing more dies, moves what lives
 * together, and makes the young generation small; then the native heap is trimmed. `forceCollection` leaves the pages to
 * V8, which keeps them for what comes next. It takes about three times as long, so it is for moments when nobody waits.
 */
export function giveMemoryBack(): void {
  collector()({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  trimNativeHeap()
}
