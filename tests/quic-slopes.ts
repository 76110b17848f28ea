/**
 * Whether QUIC connections that come and go, or incomings that nobody decides on, leave anything on the heap.
 *
 *     node tools/with-node.js tests/quic-slopes.ts                   100 000 of each; about ten minutes
 *     node tools/with-node.js tests/quic-slopes.ts --count 20000 --only incomings
 *     node tools/with-node.js tests/quic-slopes.ts --only connections --toy
 *
 * The slope over the rounds is zero when its interval holds zero, or ends below one byte for each.
 */
import { parseArgs } from 'node:util'
import { tlsSecurity } from '../packages/weir/src/quic/security.ts'
import { connectSlope, droppedSlope } from '../packages/weir/src/quic/slopes.fixture.ts'
import { toySecurity } from '../packages/weir/src/quic/toy-tls.fixture.ts'
import type { Trend } from '../packages/weir/testing/index.ts'

const BYTES_MAX = 1
const ROUNDS = 20
const WARM_UP = 10

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '100000' },
    only: { type: 'string', default: '' },
    /** Without cryptography: four times as fast. */
    toy: { type: 'boolean', default: false },
  },
})
const perRound = Math.ceil(Number(values.count) / (ROUNDS + WARM_UP))
const options = {
  rounds: ROUNDS,
  perRound,
  warmUp: WARM_UP,
  say: (text: string) => console.log(text),
}

let failed = 0
if ('connections'.includes(values.only)) {
  judge('connection', await connectSlope(options, values.toy ? toySecurity() : tlsSecurity()))
}
if ('incomings'.includes(values.only)) {
  const { expired, ...trend } = await droppedSlope(options)
  console.log(`${expired} incomings were ended by their deadline`)
  judge('incoming', trend)
}
process.exitCode = failed === 0 ? 0 : 1

function judge(what: string, { slope, lower, upper }: Trend): void {
  const good = (lower <= 0 && upper >= 0) || upper <= BYTES_MAX
  if (!good) failed++
  const interval = `${lower.toFixed(2)} to ${upper.toFixed(2)}`
  console.log(
    `${slope.toFixed(2)} bytes for each ${what} (${interval}): ${good ? 'zero' : 'NOT ZERO'}`,
  )
}
