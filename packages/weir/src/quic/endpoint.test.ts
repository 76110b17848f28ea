/** An endpoint on UDP: strangers, tokens, and what is answered without a connection. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { withLedger } from '../../testing/index.ts'
import { KeyPair } from '../core/index.ts'
import { instant, ManualClock, seededRandom } from '../runtime/index.ts'
import { transportLimits } from '../transport/index.ts'
import { type EndpointEffects, EndpointMachine } from './endpoint/endpoint-machine.ts'
import { resetToken } from './endpoint/stateless.ts'
import { Tokens } from './endpoint/tokens.ts'
import {
  acceptAll,
  eventually,
  exchange,
  Network,
  PROTOCOL,
  Stranger,
  spoofedInitial,
  withEndpoints,
} from './endpoint.fixture.ts'
import { quicLimits, quicTerms } from './memory.ts'
import { toySecurity } from './toy-tls.fixture.ts'

test('strangers who dial and never speak take their places and no more, and others get in', async () => {
  const limits = { incomingMax: 32, incomingDeadlineMs: 300, connectTimeoutMs: 3_000 }
  await withEndpoints({ limits }, async ({ b, counters, connect, row }) => {
    const [out, into] = await connect()
    await using stranger = await Stranger.open()
    for (let seed = 0; seed < 2_000; seed++) {
      await stranger.send(spoofedInitial(seed), b.localAddresses[0]!)
    }
    // Half of the places and one: who comes later has to prove its address.
    await eventually('strangers are asked for a proof', () => stranger.count > 100)
    assert.equal(counters.value('transport_incoming_overflow_total'), 0)
    // Who is in already notices nothing.
    await exchange(out, into)
    await eventually('they are given up', () => row('transport.incoming').entries === 0)
    assert.ok(counters.value('transport_incoming_expired_total') >= 17)
    assert.equal(row('quic.initials').entries, 1)
    assert.equal(row('quic.handshakes').entries, 0)
    await connect()
  })
})

test('N+1 transport.incoming: bytes of one datagram', async () => {
  await withEndpoints({}, async ({ b, row }) => {
    await using stranger = await Stranger.open()
    for (const [seed, length] of [2_049, 60_000, 2_048].entries()) {
      const bytes = new Uint8Array(length)
      bytes.set(spoofedInitial(seed))
      await stranger.send(bytes, b.localAddresses[0]!)
    }
    await eventually('one is taken', () => row('transport.incoming').entries === 1)
    assert.equal(row('transport.incoming').bytes, 2_048)
  })
})

test('a token counts for its address, its ids and its time alone', () => {
  const tokens = new Tokens(new Uint8Array(32).fill(1))
  const [original, source] = [new Uint8Array(16).fill(2), new Uint8Array(8).fill(3)]
  const remote = { host: '10.0.0.1', port: 5 }
  const token = tokens.make(original, source, remote, 1_000_000)
  assert.deepEqual(tokens.read(token, source, remote, 1_010_000), original)
  assert.equal(tokens.read(token, source, remote, 1_015_001), 'expired')
  assert.equal(tokens.read(token, source, remote, 999_999), 'expired')
  assert.equal(tokens.read(token, source, { ...remote, port: 6 }, 1_000_000), undefined)
  assert.equal(tokens.read(token, source, { ...remote, host: '10.0.0.2' }, 1_000_000), undefined)
  assert.equal(tokens.read(token, new Uint8Array(8), remote, 1_000_000), undefined)
  for (let at = 0; at < token.length; at++) {
    const changed = Uint8Array.from(token)
    changed[at]! ^= 1
    assert.equal(tokens.read(changed, source, remote, 1_000_000), undefined)
  }
  assert.equal(tokens.read(token.subarray(1), source, remote, 1_000_000), undefined)
  assert.equal(tokens.read(new Uint8Array(0), source, remote, 1_000_000), undefined)
})

test('a node that was started anew resets its old connections, and nobody else does', async () => {
  await withEndpoints({ limits: { endpointsMax: 3 } }, async ({ a, open, row }) => {
    const keyPair = KeyPair.generate()
    const before = await open({ keyPair })
    await using network = await Network.open(before.localAddresses[0]!)
    const accepted = acceptAll(before)
    const out = await a.connect(before.nodeId, PROTOCOL, { addresses: [network.address] })
    await eventually('it is accepted', () => accepted.length === 1)
    assert.equal(row('quic.reset-tokens').entries, 1)
    await using stranger = await Stranger.open()
    const noise = seededRandom(1).bytes(42)
    noise[0] = 0x45
    await stranger.send(noise, a.localAddresses[0]!)
    // It goes without a word.
    network.passes = () => false
    await before.close()
    await sleep(50)
    const after = await open({ keyPair, listen: before.localAddresses[0]! })
    network.passes = () => true
    assert.equal(after.nodeId, before.nodeId)
    const stream = await out.openUni()
    await stream.write(new Uint8Array(2_000))
    const { by, reason } = await out.closed
    assert.equal(by, 'lost')
    assert.match(reason, /knows nothing of this connection/)
    assert.equal(row('quic.reset-tokens').entries, 0)
    await after.close()
  })
})

test('what leads nowhere is answered with a shorter reset, and two who know nothing fall silent', async () => {
  const limits = quicLimits(transportLimits({ endpointsMax: 2 }))
  const terms = quicTerms(limits)
  await withLedger(Object.values(terms), (ledger) => {
    const make = (seed: number) => {
      const sent: Uint8Array[] = []
      const resetKey = new Uint8Array(32).fill(seed)
      const machine = new EndpointMachine({
        ...{ security: toySecurity(), random: seededRandom(seed), clock: new ManualClock() },
        ...{ resetKey, tokenKey: resetKey, buffer: new Uint8Array(1_500) },
        incomingDatagramsMax: 4,
        accounts: {
          routes: ledger.require(terms.routes),
          initials: ledger.require(terms.initials),
          farewells: ledger.require(terms.farewells),
          resetTokens: ledger.require(terms.resetTokens),
        },
      })
      const effects: EndpointEffects = {
        send: (bytes, length) => void sent.push(bytes.slice(0, length)),
        candidate: () => false,
        crowded: () => false,
        more: () => false,
      }
      const receive = (bytes: Uint8Array) =>
        machine.receive(bytes, { host: '10.0.0.1', port: 1 }, instant(1), effects)
      return { machine, sent, receive, resetKey }
    }
    const [one, two] = [make(1), make(2)]
    const packet = seededRandom(3).bytes(300)
    packet[0] = 0x45
    one.receive(packet)
    const reset = one.sent[0]!
    assert.equal(reset.length, 42)
    assert.deepEqual(reset.slice(26), resetToken(one.resetKey, packet.slice(1, 9)))
    two.receive(reset)
    assert.equal(two.sent.length, 0)
    for (let each = 0; each < 100; each++) one.receive(packet)
    assert.ok(one.sent.length <= 17, `${one.sent.length} resets at once`)
    // Another version is answered with ours, a short datagram with it is not.
    const strange = spoofedInitial(9)
    strange[4] = 9
    two.receive(strange)
    assert.deepEqual([...two.sent[0]!.subarray(-4)], [0, 0, 0, 1])
    two.receive(strange.subarray(0, 1_000))
    assert.equal(two.sent.length, 1)
    one.machine[Symbol.dispose]()
    two.machine[Symbol.dispose]()
  })
})
