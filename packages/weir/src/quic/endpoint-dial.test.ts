/** Dialling nodes that have several addresses, some of which lead nowhere or to somebody else. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { KeyPair } from '../core/index.ts'
import {
  acceptAll,
  coded,
  eventually,
  exchange,
  Network,
  next,
  PROTOCOL,
  Stranger,
  withEndpoints,
} from './endpoint.fixture.ts'
import { tlsSecurity } from './security.ts'

test('all addresses of a node are dialled at once, and the server makes one connection of them', async () => {
  await withEndpoints({ security: tlsSecurity() }, async ({ a, b, counters }) => {
    await using dead = await Stranger.open()
    await using one = await Network.open(b.localAddresses[0]!)
    await using two = await Network.open(b.localAddresses[0]!)
    const accepted = acceptAll(b)
    const addresses = [dead.address, one.address, two.address]
    const out = await a.connect(b.nodeId, PROTOCOL, { addresses })
    assert.ok([one.address, two.address].includes(out.remote), out.remote)
    assert.ok(dead.count > 0)
    await eventually('one is accepted', () => accepted.length === 1)
    await exchange(out, accepted[0]!)
    await exchange(accepted[0]!, out)
    await sleep(50)
    assert.equal(accepted.length, 1)
    assert.equal(counters.value('transport_incoming_accepted_total'), 1)
    // Once it has answered, only the address of the peer gets anything.
    const before = dead.count
    await exchange(out, accepted[0]!)
    assert.equal(dead.count, before)
  })
})

test('an Initial that is late over another address asks for nothing, also when the connection is over', async () => {
  await withEndpoints({}, async ({ a, b, counters }) => {
    await using late = await Network.open(b.localAddresses[0]!)
    await using again = await Stranger.open()
    const held: Uint8Array[] = []
    late.passes = (bytes) => {
      held.push(bytes)
      return false
    }
    const accepted = acceptAll(b)
    const addresses = [late.address, b.localAddresses[0]!]
    const out = await a.connect(b.nodeId, PROTOCOL, { addresses })
    await eventually('it is accepted', () => accepted.length === 1)
    await again.send(held[0]!, b.localAddresses[0]!)
    await sleep(20)
    out.close()
    await accepted[0]!.closed
    await again.send(held[0]!, b.localAddresses[0]!)
    await sleep(20)
    assert.equal(counters.value('transport_incoming_accepted_total'), 1)
    assert.equal(accepted.length, 1)
  })
})

test('a node that lives no more where it was is found at its other address', async () => {
  await withEndpoints({ limits: { endpointsMax: 3 } }, async ({ a, b, open }) => {
    const other = await open()
    acceptAll(other)
    await using slow = await Network.open(b.localAddresses[0]!)
    let dials = 0
    // The wrong one always answers first.
    slow.passes = (_bytes, toServer) => !toServer || dials++ > 0
    const accepted = acceptAll(b)
    const addresses = [other.localAddresses[0]!, slow.address]
    const out = await a.connect(b.nodeId, PROTOCOL, { addresses })
    assert.equal(out.remote, slow.address)
    await eventually('it is accepted', () => accepted.length === 1)
    await exchange(out, accepted[0]!)
  })
})

test('who answers with another version does not keep the node from being found', async () => {
  await withEndpoints({}, async ({ a, b }) => {
    await using older = await Stranger.open()
    const negotiate = async () => {
      await eventually('an Initial', () => older.received.length > 0)
      const initial = older.received[0]!
      const destination = initial.subarray(6, 6 + initial[5]!)
      const source = initial.subarray(7 + initial[5]!, 7 + initial[5]! + initial[6 + initial[5]!]!)
      const answer = Buffer.concat([
        Uint8Array.of(0x80, 0, 0, 0, 0, source.length),
        ...[source, Uint8Array.of(destination.length), destination],
        Uint8Array.of(0xff, 0, 0, 29),
      ])
      await older.send(answer, a.localAddresses[0]!)
    }
    await using slow = await Network.open(b.localAddresses[0]!)
    let dials = 0
    slow.passes = (_bytes, toServer) => !toServer || dials++ > 0
    acceptAll(b)
    const addresses = [older.address, slow.address]
    const [out] = await Promise.all([a.connect(b.nodeId, PROTOCOL, { addresses }), negotiate()])
    assert.equal(out.remote, slow.address)
  })
})

test('a dial to several addresses proves the one that asked for it', async () => {
  await withEndpoints({ security: tlsSecurity() }, async ({ a, b }) => {
    await using one = await Network.open(b.localAddresses[0]!)
    await using two = await Network.open(b.localAddresses[0]!)
    const addresses = [one.address, two.address]
    const dial = a.connect(b.nodeId, PROTOCOL, { addresses })
    let into: Awaited<ReturnType<Awaited<ReturnType<typeof next>>['accept']>> | undefined
    while (!into) {
      using incoming = await next(b)
      if (incoming.validated) into = await incoming.accept()
      else incoming.retry()
    }
    const out = await dial
    await exchange(out, into)
  })
})

test('a node with one address of each family is reached by the one that works', async () => {
  await withEndpoints({ limits: { endpointsMax: 3 } }, async ({ a, open }) => {
    const six = await open({ listen: '[::1]:0' })
    const accepted = acceptAll(six)
    await using dead = await Stranger.open()
    const addresses = [dead.address, six.localAddresses[0]!]
    const out = await a.connect(six.nodeId, PROTOCOL, { addresses })
    assert.equal(out.remote, six.localAddresses[0])
    await eventually('it is accepted', () => accepted.length === 1)
    await exchange(out, accepted[0]!)
  })
})

test('two dials at once to a family without a socket both get one', async () => {
  await withEndpoints({ limits: { endpointsMax: 3 } }, async ({ a, open }) => {
    const six = await open({ listen: '[::1]:0' })
    acceptAll(six)
    const addresses = six.localAddresses
    const dials = [1, 2, 3].map(() => a.connect(six.nodeId, PROTOCOL, { addresses }))
    assert.equal((await Promise.all(dials)).length, 3)
  })
})

test('a dial ends at once when the system has no way to any address', async () => {
  await withEndpoints({}, async ({ a, row }) => {
    const node = KeyPair.generate().id
    // A socket that is bound to loopback cannot leave the machine.
    const dial = a.connect(node, PROTOCOL, { addresses: ['198.51.100.1:9', '198.51.100.2:9'] })
    await assert.rejects(dial, coded('CONNECT_FAILED'))
    await assert.rejects(dial, /there is no way to 198\.51/)
    assert.equal(row('transport.connections').entries, 0)
  })
})

test('addresses of a dial beyond eight, and one twice, get nothing', async () => {
  await withEndpoints({ limits: { connectTimeoutMs: 150 } }, async ({ a }) => {
    const strangers: Stranger[] = []
    for (let each = 0; each < 9; each++) strangers.push(await Stranger.open())
    const addresses = [strangers[0]!, ...strangers].map(({ address }) => address)
    const node = KeyPair.generate().id
    await assert.rejects(a.connect(node, PROTOCOL, { addresses }), coded('CONNECT_FAILED'))
    assert.ok(strangers.slice(0, 8).every(({ count }) => count === strangers[0]!.count))
    assert.equal(strangers[8]!.count, 0)
    for (const each of strangers) await each[Symbol.asyncDispose]()
  })
})
