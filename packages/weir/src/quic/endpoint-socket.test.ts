/** The sockets of an endpoint: what they make of a network that changes, of errors, and of more than can be done. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { KeyPair } from '../core/index.ts'
import { Scope, seededRandom } from '../runtime/index.ts'
import { parseAddress } from '../transport/index.ts'
import {
  acceptAll,
  coded,
  eventually,
  exchange,
  Network,
  PROTOCOL,
  Stranger,
  spoofedInitial,
  withEndpoints,
} from './endpoint.fixture.ts'
import { tlsSecurity } from './security.ts'
import { Turns, type TurnTaker } from './shell/turns.ts'

test('a client whose address changes stays connected', async () => {
  await withEndpoints({ security: tlsSecurity() }, async ({ a, b }) => {
    await using network = await Network.open(b.localAddresses[0]!)
    const accepted = acceptAll(b)
    const out = await a.connect(b.nodeId, PROTOCOL, { addresses: [network.address] })
    await eventually('it is accepted', () => accepted.length === 1)
    const into = accepted[0]!
    for (let move = 0; move < 3; move++) {
      const before = into.remote
      await network.rebind()
      await exchange(out, into, 20_000)
      await exchange(into, out, 20_000)
      assert.notEqual(into.remote, before)
    }
  })
})

test('an endpoint that is opened again on its port takes new connections and ends the old ones', async () => {
  const limits = { endpointsMax: 3 }
  await withEndpoints({ limits, security: tlsSecurity() }, async ({ a, open }) => {
    const keyPair = KeyPair.generate()
    const first = await open({ keyPair })
    const listen = first.localAddresses[0]!
    acceptAll(first)
    await using network = await Network.open(listen)
    const out = await a.connect(first.nodeId, PROTOCOL, { addresses: [network.address] })
    // Nobody is told that it closes.
    network.passes = () => false
    await first.close()
    const second = await open({ keyPair, listen })
    await sleep(50)
    network.passes = () => true
    assert.deepEqual(second.localAddresses, [listen])
    acceptAll(second)
    // The new one knows the reset tokens of the old one, as they come from its key.
    const send = await out.openUni()
    send.write(seededRandom(1).bytes(3_000)).catch(() => {})
    const end = await out.closed
    assert.equal(end.by, 'lost')
    assert.match(end.reason, /started anew/)
    await a.connect(second.nodeId, PROTOCOL, { addresses: [network.address] })
  })
})

test('closing an endpoint tells the peers of all its connections before the socket goes', async () => {
  await withEndpoints({}, async ({ a, b }) => {
    const accepted = acceptAll(b)
    const dial = () => a.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
    await Promise.all(Array.from({ length: 20 }, dial))
    await eventually('all are accepted', () => accepted.length === 20)
    await a.close()
    const ends = await Promise.all(accepted.map(({ closed }) => closed))
    assert.ok(ends.every(({ by, reason }) => by === 'remote' && /closed/.test(reason)))
  })
})

test('a dial that is closed at once is seen by the other side with its code', async () => {
  await withEndpoints({ security: tlsSecurity() }, async ({ a, b }) => {
    const accepted = acceptAll(b)
    for (let code = 1; code <= 5; code++) {
      const out = await a.connect(b.nodeId, PROTOCOL, { addresses: b.localAddresses })
      const send = await out.openUni()
      await send.write(PROTOCOL)
      out.close(code, 'that was all')
      await eventually('it is accepted', () => accepted.length === code)
      const end = await accepted[code - 1]!.closed
      assert.deepEqual(end, { code, reason: 'that was all', by: 'remote' })
    }
  })
})

test('a port that is taken is named, and what was opened for it is given back', async () => {
  await withEndpoints({ limits: { endpointsMax: 3 } }, async ({ a, open, ledger }) => {
    const before = ledger.costBytes
    await assert.rejects(open({ listen: a.localAddresses[0]! }), coded('ADDRESS_IN_USE'))
    await assert.rejects(open({ listen: '198.51.100.7:9' }), coded('ADDRESS_INVALID'))
    assert.equal(ledger.costBytes, before)
  })
})

test('sending where there is no way is counted and changes nothing for others', async () => {
  await withEndpoints({}, async ({ a, b, connect, counters }) => {
    const [out, into] = await connect()
    const dial = a.connect(KeyPair.generate().id, PROTOCOL, { addresses: ['198.51.100.1:9'] })
    await assert.rejects(dial, coded('CONNECT_FAILED'))
    assert.ok(counters.value('quic_socket_errors_total') > 0)
    // A port where nobody listens: nothing comes back, be it an error or silence.
    const gone = await Stranger.open()
    const { address } = gone
    await gone[Symbol.asyncDispose]()
    const abort = new AbortController()
    const options = { addresses: [address], signal: abort.signal }
    const silent = a.connect(KeyPair.generate().id, PROTOCOL, options)
    await exchange(out, into)
    abort.abort()
    await assert.rejects(silent)
    await exchange(into, out)
    assert.equal(b.localAddresses.length, 1)
  })
})

test('a flood does not keep timers from their turn', async () => {
  await withEndpoints({ limits: { incomingMax: 16 } }, async ({ b, connect }) => {
    const [out, into] = await connect()
    await using stranger = await Stranger.open()
    const { host } = parseAddress(b.localAddresses[0]!)
    assert.equal(host, '127.0.0.1')
    // Between two rings of a timer at most this many datagrams are read: they are counted, not timed.
    let sent = 0
    let rings = 0
    const scope = new Scope('heartbeat')
    scope.every('ring', 1, () => void rings++)
    const initials = Array.from({ length: 64 }, (_, seed) => spoofedInitial(seed))
    while (sent < 6_000) await stranger.send(initials[sent++ % 64]!, b.localAddresses[0]!)
    assert.ok(rings > 20, `${rings} rings`)
    await exchange(out, into)
    await scope.close()
  })
})

test('turns are given in order, in rounds of a bounded number of datagrams', async () => {
  const turns = new Turns()
  const order: string[] = []
  let rounds = 0
  const taker = (name: string, datagrams: number, again = 0): TurnTaker => {
    let left = again
    const each: TurnTaker = {
      scheduled: false,
      nextScheduled: undefined,
      turn() {
        order.push(name)
        for (let sent = 0; sent < datagrams; sent++) turns.sent()
        if (left-- > 0) turns.schedule(each)
      },
    }
    return each
  }
  for (const each of [taker('a', 200, 1), taker('b', 100), taker('c', 1), taker('d', 1, 1)]) {
    turns.schedule(each)
    turns.schedule(each)
  }
  const roundEnds: number[] = []
  while (rounds++ < 6) {
    await new Promise((resolve) => setImmediate(resolve))
    roundEnds.push(order.length)
  }
  assert.deepEqual(order, ['a', 'b', 'c', 'd', 'a', 'd'])
  // The first round ends with b, behind 256 datagrams; who asked again comes in a later one.
  assert.ok(roundEnds.includes(2), `rounds end at ${roundEnds}`)
  turns.schedule(taker('e', 1))
  turns[Symbol.dispose]()
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(order.length, 6)
})
