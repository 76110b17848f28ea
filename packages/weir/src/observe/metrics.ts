/**
 * Metrics beside counters and ledger: histograms with fixed buckets, and gauges that are read on a scrape.
 *
 * A label value is listed when the metric is declared, so the number of series is fixed by the program: no value of a
 * peer, of a user or of a document can become one.
 *
 * Memory: the metrics and series of `observe.metrics` and `observe.series`; both are refused at the cap.
 */
import { type Account, BoundedMap, type Ledger, limitError } from '../bounds/index.ts'
import { assert } from '../runtime/index.ts'
import type { Exposition, Sample } from './exposition.ts'
import type { ObserveTerms } from './memory.ts'

/** The one label that a metric may have, with all its values. */
export interface Label<Value extends string = string> {
  readonly name: string
  readonly values: readonly Value[]
}

interface Metric {
  readonly series: number
  write(exposition: Exposition): void
}

/** Upper bounds in milliseconds for latencies from a millisecond to a minute. */
export const LATENCY_BUCKETS_MS = Object.freeze([
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000,
])

export class Metrics implements Disposable {
  readonly #metrics: BoundedMap<string, Metric>
  readonly #series: Account

  constructor(ledger: Ledger, terms: Pick<ObserveTerms, 'metrics' | 'series'>) {
    this.#series = ledger.require(terms.series)
    this.#metrics = new BoundedMap<string, Metric>(ledger.require(terms.metrics), {
      onExit: (_name, metric) => this.#series.give(0, metric.series),
    })
  }

  /**
   * A value that is read at each scrape, for each value of the label when there is one.
   *
   * @throws {WeirError} `LIMIT` when there are too many metrics or series.
   */
  gauge(name: string, help: string, read: () => number): void
  gauge<Value extends string>(
    name: string,
    help: string,
    read: (value: Value) => number,
    label: Label<Value>,
  ): void
  gauge(name: string, help: string, read: (value: string) => number, label?: Label): void {
    this.#declare(name, label?.values.length ?? 1, (exposition) => {
      const samples: Sample[] = label
        ? label.values.map((value) => ({ labels: [[label.name, value]], value: read(value) }))
        : [{ value: read('') }]
      exposition.family(name, 'gauge', help, samples)
    })
  }

  /**
   * Counts observations in fixed buckets.
   *
   * @param buckets ascending upper bounds; one for everything above is added.
   * @throws {WeirError} `LIMIT` when there are too many metrics or series.
   */
  histogram<Value extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    label?: Label<Value>,
  ): Histogram<Value> {
    const histogram = new Histogram<Value>(buckets, label)
    this.#declare(name, histogram.series, (exposition) =>
      exposition.family(name, 'histogram', help, histogram.samples()),
    )
    return histogram
  }

  /** Writes all of them, in the order in which they were declared. A gauge that throws is left out. */
  write(exposition: Exposition, failed: (name: string, error: unknown) => void): void {
    for (const [name, metric] of this.#metrics.entries()) {
      try {
        metric.write(exposition)
      } catch (error) {
        failed(name, error)
      }
    }
  }

  [Symbol.dispose](): void {
    this.#metrics[Symbol.dispose]()
    if (!this.#series.closed) this.#series[Symbol.dispose]()
  }

  #declare(name: string, series: number, write: (exposition: Exposition) => void): void {
    assert(!this.#metrics.has(name), `the metric ${name} is declared twice`)
    const room = this.#series.take(0, series)
    if (room !== 'ok') throw limitError(this.#series, room, 0)
    const admission = this.#metrics.set(name, { series, write })
    if (admission === 'ok') return
    this.#series.give(0, series)
    throw limitError(this.#metrics.account, admission, 0)
  }
}

/**
 * Observations by size.
 *
 * Memory: a fixed array of numbers, one per bucket and label value, charged by `Metrics`.
 */
export class Histogram<Value extends string = never> {
  readonly #buckets: readonly number[]
  readonly #label: Label<Value> | undefined
  readonly #counts: Float64Array
  readonly #sums: Float64Array

  constructor(buckets: readonly number[], label?: Label<Value>) {
    assert(buckets.length > 0, 'a histogram needs a bucket')
    for (const [index, bound] of buckets.entries()) {
      assert(index === 0 || bound > buckets[index - 1]!, 'buckets ascend')
    }
    this.#buckets = Object.freeze([...buckets])
    this.#label = label
    const rows = label?.values.length ?? 1
    this.#counts = new Float64Array(rows * (buckets.length + 1))
    this.#sums = new Float64Array(rows)
  }

  get series(): number {
    return this.#counts.length + this.#sums.length
  }

  observe(amount: number, ...[value]: [Value] extends [never] ? [] : [value: Value]): void {
    const row = this.#label ? this.#label.values.indexOf(value as Value) : 0
    assert(row >= 0, 'an undeclared label value')
    let bucket = 0
    while (bucket < this.#buckets.length && amount > this.#buckets[bucket]!) bucket++
    this.#counts[row * (this.#buckets.length + 1) + bucket]! += 1
    this.#sums[row]! += amount
  }

  *samples(): IterableIterator<Sample> {
    const width = this.#buckets.length + 1
    for (const [row, sum] of this.#sums.entries()) {
      const labels = this.#label ? [[this.#label.name, this.#label.values[row]!] as const] : []
      let count = 0
      for (let bucket = 0; bucket < width; bucket++) {
        count += this.#counts[row * width + bucket]!
        const bound = this.#buckets[bucket]
        const le = ['le', bound === undefined ? '+Inf' : String(bound)] as const
        yield { suffix: '_bucket', labels: [...labels, le], value: count }
      }
      yield { suffix: '_sum', labels, value: sum }
      yield { suffix: '_count', labels, value: count }
    }
  }
}
