/** Follows changes through the three clusters: when each was committed in the first, and when in the others. */
import { sleep } from './children.ts'
import type { Change, Cluster } from './cluster.ts'

type ChangeType = Change['type']

export interface Latencies {
  readonly p50: number
  readonly p99: number
  readonly most: number
}

export class Tracker {
  readonly #clusters: readonly Cluster[]
  readonly #seen: readonly Map<string, number>[]
  #awaited: ChangeType = 'ADDED'

  constructor(clusters: readonly Cluster[]) {
    this.#clusters = clusters
    this.#seen = clusters.map(() => new Map<string, number>())
  }

  async open(): Promise<void> {
    for (const [at, cluster] of this.#clusters.entries()) {
      await cluster.watch((change) => {
        if (change.type !== this.#awaited) return
        const seen = this.#seen[at]!
        if (!seen.has(change.name)) seen.set(change.name, change.at)
      })
    }
  }

  /** Forgets everything and waits for changes of this kind from now on. */
  expect(type: ChangeType): void {
    this.#awaited = type
    for (const seen of this.#seen) seen.clear()
  }

  /** How many changes each cluster has seen. */
  get counts(): number[] {
    return this.#seen.map((seen) => seen.size)
  }

  /** Waits until all have seen `count`; false when nothing has moved for `patienceMs`. */
  async settled(count: number, patienceMs = 20_000): Promise<boolean> {
    let movedAt = performance.now()
    let before = ''
    while (true) {
      const now = this.counts
      if (now.every((each) => each >= count)) return true
      const text = now.join()
      if (text !== before) movedAt = performance.now()
      before = text
      if (performance.now() - movedAt > patienceMs) return false
      await sleep(25)
    }
  }

  /** From the commit in the first cluster to that in cluster `to`; what never came is not in it. */
  latencies(to: number): Latencies {
    const times: number[] = []
    for (const [name, at] of this.#seen[0]!) {
      const there = this.#seen[to]!.get(name)
      if (there !== undefined) times.push(there - at)
    }
    times.sort((a, b) => a - b)
    const share = (part: number) =>
      times[Math.min(Math.floor(times.length * part), times.length - 1)] ?? Number.NaN
    return { p50: share(0.5), p99: share(0.99), most: times.at(-1) ?? Number.NaN }
  }

  /** When cluster `at` saw its last change. */
  lastAt(at: number): number {
    let last = 0
    for (const time of this.#seen[at]!.values()) last = Math.max(last, time)
    return last
  }

  close(): void {
    for (const cluster of this.#clusters) cluster.stopWatching()
  }
}
