/**
 * Whether QUIC connections that come and go, or incomings that nobody decides on, leave anything on the heap.
 *
 *     node tools/with-node.js tests/quic-slopes.ts                   100 000 of each to warm up, and 100 000 that count
 *     node tools/with-node.js tests/quic-slopes.ts --count 20000 --only incomings
 *     node tools/with-node.js tests/quic-slopes.ts --only connections --toy
 *     node tools/with-node.js tests/quic-slopes.ts --only incomings --spoil 100       must fail
 *
 * It is zero when both hold for those that count:
 *
 * - The slope of the live heap is zero: its interval holds zero, or ends below a fifth of a byte for each. What V8 keeps
 *   of code that it compiles late is less than that after so long a warm-up (docs/leak-testing.md).
 * - No kind of object has grown by one for each hundred, from the end of the warm-up to the end.
 */
import { parseArgs } from 'node:util'
import { deserialize, serialize } from 'node:v8'
import { tlsSecurity } from '../packages/weir/src/quic/security.ts'
import {
  connectSlope,
  droppedSlope,
  type Rounds,
} from '../packages/weir/src/quic/slopes.fixture.ts'
import { toySecurity } from '../packages/weir/src/quic/toy-tls.fixture.ts'
import type { Trend } from '../packages/weir/testing/index.ts'
import { type Census, grown, heapCensus } from './heap-census.ts'

const BYTES_MAX = 0.2
const ROUNDS = 20
/** A snapshot has V8 drop code, which the first rounds after it make again. */
const SETTLE = 2

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '100000' },
    'warm-up': { type: 'string', default: '100000' },
    only: { type: 'string', default: '' },
    /** Without cryptography: four times as fast. */
    toy: { type: 'boolean', default: false },
    /** Keeps an empty object for each so many, to see that it is found. */
    spoil: { type: 'string', default: '0' },
  },
})
const perRound = Math.ceil(Number(values.count) / ROUNDS)
const warmUp = Math.ceil(Number(values['warm-up']) / perRound)
const spoil = Number(values.spoil)

let failed = 0
if ('connections'.includes(values.only)) {
  const security = values.toy ? toySecurity() : tlsSecurity()
  await judge('connection', (options) => connectSlope(options, security))
}
if ('incomings'.includes(values.only)) {
  await judge('incoming', async (options) => {
    const { expired, ...trend } = await droppedSlope(options)
    console.log(`${expired} incomings were ended by their deadline`)
    return trend
  })
}
process.exitCode = failed === 0 ? 0 : 1

async function judge(what: string, measure: (options: Rounds) => Promise<Trend>): Promise<void> {
  const kept: object[] = []
  // Beside the heap: its own names of kinds would be counted in the next one.
  let before: Buffer = Buffer.alloc(0)
  let more: readonly string[] = []
  const { slope, lower, upper } = await measure({
    ...{ rounds: ROUNDS, perRound, warmUp: warmUp + SETTLE },
    say: (text) => {
      console.log(text)
      if (spoil > 0) for (let each = 0; each < perRound / spoil; each++) kept.push({})
    },
    between: async (index) => {
      if (index === warmUp) before = serialize(await heapCensus())
      if (index < warmUp + SETTLE + ROUNDS) return
      const after = await heapCensus()
      more = grown(deserialize(before) as Census, after, ((ROUNDS + SETTLE) * perRound) / 100)
    },
  })
  const good = ((lower <= 0 && upper >= 0) || upper <= BYTES_MAX) && more.length === 0
  if (!good) failed++
  const interval = `${lower.toFixed(3)} to ${upper.toFixed(3)}`
  console.log(
    `${slope.toFixed(3)} bytes for each ${what} (${interval}), ${more.join(', ') || 'no kind of object has grown'}: ` +
      `${good ? 'zero' : 'NOT ZERO'}`,
  )
}
