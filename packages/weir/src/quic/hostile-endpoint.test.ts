/**
 * An endpoint with an honest connection while somebody means ill: the honest one keeps working, no term passes its plan,
 * and what the attacker has caused is gone with it. `tests/quic-floods.ts` does the same at length and looks at memory.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Ledger } from '../bounds/index.ts'
import { seededRandom } from '../runtime/index.ts'
import type { Connection } from '../transport/index.ts'
import {
  acceptAll,
  eventually,
  exchange,
  Network,
  next,
  PROTOCOL,
  Stranger,
  spoofedInitial,
  withEndpoints,
} from './endpoint.fixture.ts'
import { FLOODS, flood } from './floods.fixture.ts'
import { Attacker } from './hostile.fixture.ts'
import { tlsSecurity } from './security.ts'
import { toySecurity } from './toy-tls.fixture.ts'

const PACKETS = 400

function withinPlan(ledger: Ledger): void {
  for (const { term, peakCostBytes, plannedBytes } of ledger.rows()) {
    assert.ok(peakCostBytes <= plannedBytes, `${term.name}: ${peakCostBytes} of ${plannedBytes}`)
  }
  assert.ok(ledger.costBytes <= ledger.plan.accountBytes)
}

/** Work of an honest peer that goes on until it is told to stop. */
function honestWork(out: Connection, into: Connection) {
  let stopped = false
  let rounds = 0
  const work = (async () => {
    while (!stopped) {
      await exchange(out, into, 2_000)
      rounds++
      await sleep(1)
    }
  })()
  return {
    async stop(): Promise<number> {
      stopped = true
      await work
      return rounds
    },
  }
}

for (const each of FLOODS) {
  test(`a flood of ${each.name}: the honest connection works, the plan holds`, async () => {
    const security = toySecurity()
    await withEndpoints({ security }, async ({ b, connect, ledger, row }) => {
      const [out, into] = await connect()
      const accepted = acceptAll(b)
      const attacker = await Attacker.open({
        ...{ security, address: b.localAddresses[0]!, node: b.nodeId },
      })
      await eventually('the attacker is in', () => accepted.length === 1 && attacker.up)
      const honest = honestWork(out, into)
      await flood(attacker, each, PACKETS)
      assert.ok((await honest.stop()) > 0)
      if (each.ends) {
        await eventually('the attacker is cut off', () => attacker.end !== undefined)
        await accepted[0]!.closed
      }
      await exchange(into, out)
      withinPlan(ledger)
      await attacker[Symbol.asyncDispose]()
      accepted[0]!.close()
      assert.equal(row('transport.connections').entries, 2)
      await eventually('no stream is left', () => row('transport.streams').entries === 0)
    })
  })
}

test('the greedy empty the pools, and an honest connection that loses packets goes on beside them', async () => {
  const security = toySecurity()
  const own = { gapPoolBytes: 512, ackRangePoolBytes: 512, cryptoPoolBytes: 128 }
  await withEndpoints({ security, own }, async ({ a, b, ledger, row }) => {
    const accepted = acceptAll(b)
    const [address] = b.localAddresses
    await using network = await Network.open(address!)
    const out = await a.connect(b.nodeId, PROTOCOL, { addresses: [network.address] })
    await eventually('the honest one is in', () => accepted.length === 1)
    await using attackers = new AsyncDisposableStack()
    let seed = 0
    for (const name of ['a stream', 'the packet numbers', 'the handshake bytes']) {
      for (let each = 0; each < 2; each++) {
        const options = { security, address: address!, node: b.nodeId, seed: ++seed }
        const attacker = attackers.use(await Attacker.open(options))
        await eventually('the attacker is in', () => accepted.length === 1 + seed)
        await flood(attacker, FLOODS.find((flooding) => flooding.name === `gaps in ${name}`)!, 200)
      }
    }
    for (const name of ['quic.gaps', 'quic.ack-ranges', 'quic.crypto']) {
      await eventually(`${name} has no more`, () => row(name).refused.pool > 0)
    }
    let count = 0
    network.passes = () => ++count % 9 !== 0
    for (let round = 0; round < 5; round++) await exchange(out, accepted[0]!, 60_000)
    withinPlan(ledger)
    for (const greedy of accepted.slice(1)) greedy.close()
    for (const name of ['quic.gap-pool', 'quic.crypto-pool']) assert.equal(row(name).bytes, 0)
    await exchange(out, accepted[0]!, 60_000)
  })
})

test('handshakes that are begun and left take their places for a while and no more', async () => {
  const security = tlsSecurity()
  const options = { security, limits: { connectTimeoutMs: 400 }, own: { handshakesMax: 8 } }
  await withEndpoints(options, async ({ b, connect, ledger, row, counters }) => {
    const [out, into] = await connect()
    acceptAll(b)
    const honest = honestWork(out, into)
    const attackers: Attacker[] = []
    for (let seed = 0; seed < 40; seed++) {
      const address = b.localAddresses[0]!
      attackers.push(await Attacker.open({ security, address, node: b.nodeId, seed, mute: true }))
      if (seed % 8 === 0) await sleep(5)
    }
    await eventually('some are in a handshake', () => row('quic.handshakes').entries > 0)
    assert.ok(row('quic.handshakes').peakCostBytes <= row('quic.handshakes').plannedBytes)
    await eventually('all are given up', () => row('quic.handshakes').entries === 0)
    assert.ok((await honest.stop()) > 0)
    withinPlan(ledger)
    assert.ok(counters.value('transport_incoming_accepted_total') > 1)
    for (const attacker of attackers) await attacker[Symbol.asyncDispose]()
    assert.equal(row('transport.connections').entries, 2)
    assert.equal(row('quic.keys').entries, 2)
  })
})

// Elsewhere only 127.0.0.1 is there.
const linux = { skip: process.platform !== 'linux' }

test('spoofed Initials from a thousand sources change nothing for who is in', linux, async () => {
  const limits = { incomingMax: 32, incomingDeadlineMs: 200 }
  await withEndpoints({ limits }, async ({ b, connect, ledger, row }) => {
    const [out, into] = await connect()
    const honest = honestWork(out, into)
    for (let source = 0; source < 1_000; source++) {
      const host = `127.${1 + (source >> 8)}.${source & 255}.1`
      await using stranger = await Stranger.open(host)
      await stranger.send(spoofedInitial(source), b.localAddresses[0]!)
    }
    assert.ok((await honest.stop()) > 0)
    withinPlan(ledger)
    await eventually('nothing is left', () => row('transport.incoming').entries === 0)
    assert.equal(row('quic.initials').entries, 1)
    assert.equal(row('quic.handshakes').entries, 0)
  })
})

test('while strangers flood an endpoint that accepts everybody, an honest client still gets in', async () => {
  const options = {
    security: tlsSecurity(),
    limits: { endpointsMax: 3, incomingMax: 16, incomingDeadlineMs: 200 },
    own: { handshakesMax: 8 },
  }
  await withEndpoints(options, async ({ b, open, ledger, counters }) => {
    const accepted = acceptAll(b)
    await using stranger = await Stranger.open()
    let over = false
    const strangers = (async () => {
      for (let seed = 0; !over; seed++) {
        await stranger.send(spoofedInitial(seed), b.localAddresses[0]!)
        if (seed % 64 === 0) await sleep(1)
      }
    })()
    await eventually('strangers are asked for a proof', () => stranger.count > 20)
    const client = await open()
    for (let dial = 1; dial <= 3; dial++) {
      const out = await client.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
      await eventually('it is accepted', () => accepted.length === dial)
      await exchange(out, accepted[dial - 1]!)
    }
    over = true
    await strangers
    withinPlan(ledger)
    assert.ok(counters.value('transport_incoming_accepted_total') > 3)
  })
})

test('undecided, refused, ignored and expired incomings leave nothing', async () => {
  const limits = { incomingMax: 16, incomingDeadlineMs: 100 }
  await withEndpoints({ limits }, async ({ b, connect, row, ledger, counters }) => {
    const [out, into] = await connect()
    await exchange(out, into)
    const before = ledger.costBytes
    await using stranger = await Stranger.open()
    for (let seed = 0; seed < 24; seed++) {
      await stranger.send(spoofedInitial(seed), b.localAddresses[0]!)
      if (seed >= 8) continue
      const incoming = await next(b)
      if (seed % 3 === 0) incoming.refuse()
      else if (seed % 3 === 1) incoming.ignore()
      else incoming.retry()
    }
    await eventually('the rest expires', () => row('transport.incoming').entries === 0)
    assert.ok(counters.value('transport_incoming_expired_total') >= 9)
    assert.equal(row('transport.incoming').bytes, 0)
    assert.equal(row('quic.initials').entries, 1)
    await eventually('all is given back', () => ledger.costBytes <= before)
  })
})

test('noise of every length and first byte is answered seldom and keeps nothing', async () => {
  await withEndpoints({}, async ({ b, connect, ledger }) => {
    const [out, into] = await connect()
    const honest = honestWork(out, into)
    const random = seededRandom(11)
    await using stranger = await Stranger.open()
    for (let each = 0; each < 3_000; each++) {
      const bytes = random.bytes(1 + random.below(each % 3 === 0 ? 60 : 1_500))
      bytes[0] = each & 255
      // Every second one with the version that is spoken.
      if (bytes.length > 5 && each % 2 === 0) bytes.set([0, 0, 0, 1], 1)
      await stranger.send(bytes, b.localAddresses[0]!)
    }
    assert.ok((await honest.stop()) > 0)
    await exchange(into, out)
    withinPlan(ledger)
    assert.ok(stranger.count < 1_500, `${stranger.count} answers`)
  })
})
