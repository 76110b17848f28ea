/** How the terms of observing are filled for `npm run costs`. */
import { silentClients } from '../../testing/silent-clients.ts'
import { type Account, type CostCase, Ledger, planMemory } from '../bounds/index.ts'
import { Heartbeats, ManualClock, Scope, systemClock } from '../runtime/index.ts'
import { Health } from './health.ts'
import { type ObserveTerms, observeLimits, observeTerms, REQUEST_HEAD_BYTES_MAX } from './memory.ts'
import { Metrics } from './metrics.ts'
import { StatusServer } from './status-server.ts'

const RESPONSE_BYTES = 256 * 1024
const limits = observeLimits({
  connectionsMax: 256,
  responsesMax: 4,
  responseBytesMax: RESPONSE_BYTES,
  metricsMax: 64,
  seriesMax: 1_024,
  problemsMax: 256,
  requestTimeoutMs: 3_600_000,
})
const terms = observeTerms(limits)
const wide = observeTerms(observeLimits({ metricsMax: 2_048, seriesMax: 2 ** 20 }))
const many = Object.values(wide).map((term) => ({ ...term, instancesMax: 4_096 }))
const besides = new Ledger(planMemory(many, { limitBytes: Number.MAX_SAFE_INTEGER }))
const spare = (name: keyof ObserveTerms): Account =>
  besides.require(many.find((term) => term.name === wide[name].name)!)

const scope = new Scope('costs')

/** Hands out the account that is measured for its term, and others as they are. */
function handing(measured: Partial<Record<keyof ObserveTerms, Account>>): Ledger {
  const names = Object.keys(terms) as (keyof ObserveTerms)[]
  return {
    require(term: ObserveTerms[keyof ObserveTerms]) {
      const name = names.find((each) => terms[each] === term)!
      return measured[name] ?? spare(name)
    },
  } as unknown as Ledger
}

/** A request with a head that is as long as can be, but for its end. */
function unfinished(): string {
  let head = 'GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n'
  for (let at = 10; head.length + 200 < REQUEST_HEAD_BYTES_MAX; at++) {
    head += `x-${at}: ${'v'.repeat(150)}\r\n`
  }
  return head
}

async function fillConnections(connections: Account): Promise<unknown> {
  const heartbeats = new Heartbeats(systemClock)
  const ledger = handing({ connections })
  const server = await StatusServer.open({
    scope,
    ledger,
    terms,
    limits,
    listen: { host: '127.0.0.1', port: 0 },
    health: new Health({ scope, ledger, terms, heartbeats }),
    heartbeats,
  })
  const count = connections.term.entriesMax
  const clients = await silentClients({ port: server.port, count, words: unfinished() })
  while (connections.entries < count) await new Promise((resolve) => setTimeout(resolve, 5))
  return [server, clients]
}

/** The text of an answer, and its bytes. */
function fillResponses(account: Account, index: number): unknown {
  const held: unknown[] = []
  account.require(0, account.term.entriesMax)
  for (let at = 0; at < account.term.entriesMax; at++) {
    const text = Buffer.alloc(RESPONSE_BYTES, `${index} ${at} `).toString('latin1')
    held.push(text, Buffer.from(text))
  }
  return held
}

const own = (text: string) => Buffer.from(text).toString('latin1')

/** Gauges that read a value by a label, each with words of its own. */
function fillMetrics(metrics: Account, index: number): unknown {
  const all = new Metrics(handing({ metrics }), terms)
  for (let at = 0; at < metrics.term.entriesMax; at++) {
    const name = own(`weir_${index}_costs_${at}_total`)
    all.gauge(name, own(`What the metric ${at} of ${index} says.`), () => at)
  }
  return all
}

const LABELLED = 32

/** Values of a label, each a string of its own; buckets are packed numbers and take less. */
function fillSeries(series: Account, index: number): unknown {
  const all = new Metrics(handing({ series }), terms)
  for (let at = 0; series.entries < series.term.entriesMax; at++) {
    const values = Array.from({ length: LABELLED }, (_, row) => own(`way ${index}/${at}/${row}`))
    all.gauge(`costs_${at}`, '', () => at, { name: 'way', values })
  }
  return all
}

/** Every condition fails, each with words of its own. */
const conditions = Object.fromEntries(
  Array.from({ length: limits.problemsMax }, (_, at) => [
    `part-${at}`,
    () => own(`stopped: the watch of it has ended after ${at} of 1 000 attempts, see the log`),
  ]),
)

async function fillProblems(problems: Account): Promise<unknown> {
  const clock = new ManualClock()
  const each = new Scope('costs', { clock })
  const heartbeats = new Heartbeats(clock)
  const ledger = handing({ problems })
  const health = new Health({ scope: each, ledger, terms, heartbeats, conditions })
  await clock.advance(1_000)
  return [health, each]
}

export const costs: readonly CostCase[] = Object.freeze([
  { term: terms.connections, fill: fillConnections, resident: true },
  { term: terms.responses, fill: fillResponses },
  { term: terms.metrics, fill: fillMetrics },
  { term: terms.series, variant: 'label values', fill: fillSeries },
  { term: terms.problems, fill: fillProblems },
])
