/** The two examples of the second section of the README, run as they stand there. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { withLedger } from '../../testing/index.ts'
import { KeyPair } from '../core/index.ts'
import { type Counters, isWeirError, ManualClock } from '../runtime/index.ts'
import { FixedAddresses } from './addresses.ts'
import { TEST_PROTOCOL } from './conformance-pair.suite.ts'
import { memoryTransport } from './load.ts'
import { MemoryNetwork } from './memory-network.ts'
import type { Endpoint, Incoming } from './transport.ts'

type Serve = (endpoint: Endpoint, wanted: (incoming: Incoming) => boolean) => Promise<void>

const text = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8')
const examples = [...text.matchAll(/```js\n(.*?)```/gs)].map((match) => match[1]!)
const [wrong, right] = examples.map(
  (source) => new Function(`${source}\nreturn serve`)() as Serve,
) as [Serve, Serve]

/** Three strangers dial where at most two may be undecided; how each dial ended and what was counted. */
async function strangers(
  serve: Serve,
  look: (counters: Counters, failures: readonly string[], clock: ManualClock) => void,
): Promise<void> {
  const clock = new ManualClock()
  const planned = memoryTransport(new MemoryNetwork({ clock })).plan({
    endpointsMax: 2,
    incomingMax: 2,
  })
  await withLedger(
    planned.terms,
    async (ledger, scope, { counters }) => {
      const open = () =>
        planned.open({
          scope,
          ledger,
          keyPair: KeyPair.generate(),
          lookup: new FixedAddresses([]),
          protocols: [TEST_PROTOCOL],
        })
      const [server, stranger] = [await open(), await open()]
      scope.spawn('serve', () => serve(server, () => false))
      const failures: string[] = []
      for (let each = 0; each < 3; each++) {
        stranger
          .connect(server.nodeId, TEST_PROTOCOL, { addresses: server.localAddresses })
          .catch((error) => failures.push(isWeirError(error) ? error.message : String(error)))
        await new Promise((resolve) => setImmediate(resolve))
      }
      look(counters, failures, clock)
      await server.close()
    },
    { clock },
  )
}

test('the README has a wrong and a right example', () => {
  assert.equal(examples.length, 2)
})

test('with the wrong example strangers fill all places, until the deadline', () =>
  strangers(wrong, (counters, failures, clock) => {
    assert.equal(failures.length, 1)
    assert.match(failures[0]!, /too many/)
    assert.equal(counters.value('transport_incoming_overflow_total'), 1)
    clock.advance(5_000)
    assert.equal(counters.value('transport_incoming_expired_total'), 2)
  }))

test('with the right example each stranger is refused at once', () =>
  strangers(right, (counters, failures) => {
    assert.equal(failures.length, 3)
    assert.equal(counters.value('transport_incoming_refused_total'), 3)
    assert.equal(counters.value('transport_incoming_overflow_total'), 0)
  }))
