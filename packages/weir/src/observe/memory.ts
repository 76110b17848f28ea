/** What observing may hold: connections of scrapers, answers on their way, and series. */
import {
  BUFFER_SHELL_BYTES,
  MAP_NODE_BYTES,
  OBJECT_BYTES,
  STRING_SHELL_BYTES,
  type Terms,
  term,
} from '../bounds/index.ts'
import { assert } from '../runtime/index.ts'

export interface ObserveLimits {
  /** Connections to the status server at once. Default 16; more are closed at once. */
  readonly connectionsMax: number
  /** Answers that are built or sent at once. Default 2; more get status 503. */
  readonly responsesMax: number
  /** Longest answer. Default 256 KiB; what does not fit is left out and counted. */
  readonly responseBytesMax: number
  /** Metrics beside those of ledger, counters and process. Default 64. */
  readonly metricsMax: number
  /** Their series: label values, and buckets of histograms. Default 1 024. */
  readonly seriesMax: number
  /** Parts of the program that are known to have a problem, for one log line each. Default 64. */
  readonly problemsMax: number
  /** Without a byte on a connection, and for a request to arrive. Default 5 s. */
  readonly requestTimeoutMs: number
}

const KIB = 1024

const DEFAULTS: ObserveLimits = Object.freeze({
  connectionsMax: 16,
  responsesMax: 2,
  responseBytesMax: 256 * KIB,
  metricsMax: 64,
  seriesMax: 1_024,
  problemsMax: 64,
  requestTimeoutMs: 5_000,
})

/** Longest request head that is read. */
export const REQUEST_HEAD_BYTES_MAX = 8 * KIB
/** A connection of node:http: socket, parser, request, response, and a head of full length. */
const CONNECTION_BYTES = 16 * KIB + REQUEST_HEAD_BYTES_MAX

export function observeLimits(given: Partial<ObserveLimits> = {}): ObserveLimits {
  const limits: ObserveLimits = { ...DEFAULTS, ...given }
  for (const [name, value] of Object.entries(limits)) {
    assert(name in DEFAULTS, `there is no observe limit '${name}'`)
    assert(Number.isSafeInteger(value) && value >= 1, `the observe limit ${name} is ${value}`)
  }
  return Object.freeze(limits)
}

export type ObserveTerms = Terms<'connections' | 'responses' | 'metrics' | 'series' | 'problems'>

export function observeTerms(limits: ObserveLimits): ObserveTerms {
  return {
    connections: term({
      name: 'observe.connections',
      why: 'connections to the status server, with a request head each',
      entriesMax: limits.connectionsMax,
      shellBytes: CONNECTION_BYTES,
      // Who looks after the program must get an answer when memory is short.
      shedAt: 'never',
    }),
    responses: term({
      name: 'observe.responses',
      why: 'answers of the status server, as text and as bytes',
      arena: 'buffers',
      entriesMax: limits.responsesMax,
      // Either is so long that it has pages of its own.
      shellBytes: BUFFER_SHELL_BYTES + 2 * (limits.responseBytesMax + KIB),
      shedAt: 'never',
    }),
    metrics: term({
      name: 'observe.metrics',
      why: 'declared metrics: name, help, functions',
      table: 'map',
      entriesMax: limits.metricsMax,
      shellBytes: MAP_NODE_BYTES + 3 * OBJECT_BYTES + BUFFER_SHELL_BYTES,
      shedAt: 'never',
    }),
    series: term({
      name: 'observe.series',
      why: 'label values and histogram buckets of declared metrics',
      entriesMax: limits.seriesMax,
      shellBytes: STRING_SHELL_BYTES + 56,
      shedAt: 'never',
    }),
    problems: term({
      name: 'observe.problems',
      why: 'parts that were found stalled or stopped',
      table: 'map',
      entriesMax: limits.problemsMax,
      shellBytes: MAP_NODE_BYTES + 2 * STRING_SHELL_BYTES + 128,
      shedAt: 'never',
    }),
  }
}
