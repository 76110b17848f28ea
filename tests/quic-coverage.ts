/**
 * Which blocks of the sources of QUIC have run, as V8 counts them. Reading the counts costs milliseconds and sets them
 * to zero.
 *
 * Memory: a string for each block that has run, some tens of thousands.
 */
import { Session } from 'node:inspector/promises'

/** Fixtures and tests have a dot in their names. */
const SOURCES = /\/src\/quic\/([^.]+\.[tj]s)$/

/** How much of a file has run. */
export interface Reached {
  readonly file: string
  readonly functions: number
  readonly called: number
  /** The share of its characters that are in no block that did not run. */
  readonly share: number
  readonly missed: readonly string[]
}

export class Coverage {
  readonly #session = new Session()
  readonly #seen = new Set<string>()

  async start(): Promise<void> {
    this.#session.connect()
    await this.#session.post('Profiler.enable')
    await this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  get size(): number {
    return this.#seen.size
  }

  /** What has run since the last call and was never added. */
  async take(): Promise<ReadonlySet<string>> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage')
    const fresh = new Set<string>()
    for (const { scriptId, url, functions } of result) {
      if (!SOURCES.test(url)) continue
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count === 0) continue
          const block = `${scriptId}:${startOffset}:${endOffset}`
          if (!this.#seen.has(block)) fresh.add(block)
        }
      }
    }
    return fresh
  }

  add(blocks: ReadonlySet<string>): void {
    for (const block of blocks) this.#seen.add(block)
  }

  forget(): void {
    this.#seen.clear()
  }

  /** All files, for what has run since the last reading. */
  async report(): Promise<Reached[]> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage')
    const all: Reached[] = []
    for (const { url, functions } of result) {
      const file = SOURCES.exec(url)?.[1]
      if (!file) continue
      const own = functions.filter(({ functionName }) => /^[#\w]/.test(functionName))
      const missed = own.filter(({ ranges }) => ranges[0]!.count === 0)
      const length = functions[0]!.ranges[0]!.endOffset
      const idle = new Uint8Array(length)
      // From the outside in: what is inside says it better.
      const ranges = functions.flatMap((each) => each.ranges)
      ranges.sort((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset)
      for (const { startOffset, endOffset, count } of ranges) {
        idle.fill(count === 0 ? 1 : 0, startOffset, endOffset)
      }
      const share = 1 - idle.reduce((sum, each) => sum + each, 0) / length
      const names = missed.map(({ functionName }) => functionName)
      const called = own.length - missed.length
      all.push({ file, functions: own.length, called, share, missed: names })
    }
    return all.sort((a, b) => (a.file < b.file ? -1 : 1))
  }
}
