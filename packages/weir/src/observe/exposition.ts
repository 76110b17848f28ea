/**
 * Writes metrics in the text format of Prometheus (version 0.0.4), up to a length.
 *
 * A family is written whole or not at all: half of one would be read as the truth.
 *
 * Memory: one text of at most `bytesMax`, during a scrape.
 */
import { AssertionError, assert } from '../runtime/index.ts'

export type MetricType = 'counter' | 'gauge' | 'histogram'

/** One line of a family. */
export interface Sample {
  /** What follows the family's name: `_bucket`, `_sum`, `_count`. */
  readonly suffix?: string
  readonly labels?: readonly (readonly [name: string, value: string])[]
  readonly value: number
}

const METRIC_NAME = /^[a-z][a-z0-9_]*$/

export class Exposition {
  readonly #bytesMax: number
  readonly #prefix: string
  #text = ''
  #left = 0

  /** @param prefix goes before every name, such as `weir_`. */
  constructor(bytesMax: number, prefix = '') {
    this.#bytesMax = bytesMax
    this.#prefix = prefix
  }

  /** Families that did not fit. */
  get leftOut(): number {
    return this.#left
  }

  get text(): string {
    return this.#text
  }

  family(
    name: string,
    type: MetricType,
    help: string,
    samples: Iterable<Sample>,
    prefix = this.#prefix,
  ): void {
    assert(METRIC_NAME.test(name), `'${name}' is not a metric name`)
    const full = prefix + name
    let text = ''
    for (const sample of samples) {
      text += `${full}${sample.suffix ?? ''}${labels(sample.labels)} ${number(sample.value)}\n`
      if (this.#text.length + text.length > this.#bytesMax) {
        this.#left++
        return
      }
    }
    if (text === '') return
    const head = `# HELP ${full} ${escapeHelp(help)}\n# TYPE ${full} ${type}\n`
    if (this.#text.length + head.length + text.length > this.#bytesMax) this.#left++
    else this.#text += head + text
  }

  /** A family with one line. */
  value(name: string, type: MetricType, help: string, value: number, prefix?: string): void {
    this.family(name, type, help, [{ value }], prefix)
  }
}

function labels(pairs: Sample['labels']): string {
  if (!pairs || pairs.length === 0) return ''
  return `{${pairs.map(([name, value]) => `${name}="${escapeLabel(value)}"`).join(',')}}`
}

/** Longest label value; ours are far shorter. */
const LABEL_CHARS_MAX = 128

function escapeLabel(value: string): string {
  return value
    .slice(0, LABEL_CHARS_MAX)
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n')
    .replaceAll(/[^\x20-\x7e]/g, '?')
}

const escapeHelp = (help: string): string => help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')

function number(value: number): string {
  if (typeof value !== 'number') throw new AssertionError('a metric is not a number')
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return String(value)
}
