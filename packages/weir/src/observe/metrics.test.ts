import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { Exposition, Metrics, observeLimits, observeTerms } from './index.ts'

const limits = observeLimits({ metricsMax: 2, seriesMax: 16 })
const terms = observeTerms(limits)
const used = [terms.metrics, terms.series]

function textOf(metrics: Metrics, failed: (name: string) => void = assert.fail): string {
  const exposition = new Exposition(10_000)
  metrics.write(exposition, failed)
  return exposition.text
}

test('a histogram counts cumulatively, with sum and count', async () => {
  await withLedger(used, (ledger, scope) => {
    const metrics = scope.own('metrics', new Metrics(ledger, terms))
    const histogram = metrics.histogram('delay_ms', 'Delay.', [1, 10, 100])
    for (const amount of [0.5, 1, 5, 100, 1_000]) histogram.observe(amount)
    assert.deepEqual(textOf(metrics).split('\n').slice(2, -1), [
      'delay_ms_bucket{le="1"} 2',
      'delay_ms_bucket{le="10"} 3',
      'delay_ms_bucket{le="100"} 4',
      'delay_ms_bucket{le="+Inf"} 5',
      'delay_ms_sum 1106.5',
      'delay_ms_count 5',
    ])
  })
})

test('a histogram keeps the values of its label apart and refuses one that was not declared', async () => {
  await withLedger(used, (ledger, scope) => {
    const metrics = scope.own('metrics', new Metrics(ledger, terms))
    const label = { name: 'verb', values: ['create', 'delete'] } as const
    const histogram = metrics.histogram('ms', 'h', [10], label)
    histogram.observe(3, 'create')
    histogram.observe(30, 'delete')
    const text = textOf(metrics)
    assert.match(text, /ms_bucket\{verb="create",le="10"\} 1/)
    assert.match(text, /ms_bucket\{verb="delete",le="10"\} 0/)
    assert.match(text, /ms_sum\{verb="delete"\} 30/)
    assert.throws(() => histogram.observe(1, 'from a peer' as 'create'), /undeclared/)
    assert.throws(() => metrics.histogram('other', 'h', [10, 10]), /ascend/)
    assert.throws(() => metrics.histogram('other', 'h', []), /needs a bucket/)
  })
})

test('gauges are read at the scrape, once for each value of the label', async () => {
  await withLedger(used, (ledger, scope) => {
    const metrics = scope.own('metrics', new Metrics(ledger, terms))
    let peers = 1
    metrics.gauge('peers', 'h', () => peers)
    metrics.gauge('queue', 'h', (value) => value.length, { name: 'kind', values: ['a', 'bb'] })
    peers = 7
    const text = textOf(metrics)
    assert.match(text, /\npeers 7\n/)
    assert.match(text, /queue\{kind="a"\} 1\nqueue\{kind="bb"\} 2\n/)
  })
})

test('a gauge that throws is left out and named, and the others are written', async () => {
  await withLedger(used, (ledger, scope) => {
    const metrics = scope.own('metrics', new Metrics(ledger, terms))
    metrics.gauge('broken', 'h', () => {
      throw new Error('no')
    })
    metrics.gauge('fine', 'h', () => 1)
    let named = ''
    const text = textOf(metrics, (name) => {
      named = name
    })
    assert.equal(named, 'broken')
    assert.match(text, /\nfine 1\n/)
  })
})

test('observe.metrics: one more metric than the cap is refused, and its series are given back', async () => {
  await withLedger(used, (ledger, scope) => {
    const metrics = scope.own('metrics', new Metrics(ledger, terms))
    metrics.gauge('a', 'h', () => 1)
    metrics.gauge('b', 'h', () => 1)
    const more = () => metrics.gauge('c', 'h', () => 1)
    assert.throws(more, { code: 'LIMIT' })
    assert.equal(ledger.row(terms.series).entries, 2)
    assert.equal(ledger.row(terms.metrics).refused.cap, 1)
  })
})

test('observe.series: a metric with more series than are left is refused', async () => {
  await withLedger(used, (ledger, scope) => {
    const metrics = scope.own('metrics', new Metrics(ledger, terms))
    const values = Array.from({ length: 17 }, (_, at) => `v${at}`)
    const more = () => metrics.gauge('a', 'h', () => 1, { name: 'l', values })
    assert.throws(more, { code: 'LIMIT' })
    assert.equal(ledger.row(terms.series).refused.cap, 1)
    metrics.gauge('a', 'h', () => 1, { name: 'l', values: values.slice(1) })
    assert.throws(() => metrics.gauge('a', 'h', () => 1), /declared twice/)
  })
})
