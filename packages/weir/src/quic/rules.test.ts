/** Rules of RFC 9000, 9001 and 9002 that two well-behaved ends never show to each other. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { instant } from '../runtime/index.ts'
import { writeRetry } from './endpoint/stateless.ts'
import { FrameType } from './frames/frame-types.ts'
import { ErrorCode } from './packet/errors.ts'
import { longHeadSize, writeLongHead } from './packet/header.ts'
import type { TransportParameters } from './packet/parameters.ts'
import { writeVarint2 } from './packet/varint.ts'
import { changed, connected, idsOf, listen, made, pass, SECOND } from './rules.fixture.ts'
import type { World } from './simulation.fixture.ts'
import { toySecurity } from './toy-tls.fixture.ts'

test('who waits for credit of a stream says so, once for each limit', () => {
  const world = connected()
  // Nobody reads.
  world.b.work = () => {}
  const stream = world.a.machine.open(false)!
  const said = listen(world, world.a)
  const bytes = new Uint8Array(50_000)
  const taken = world.a.machine.write(stream, bytes, 0)
  assert.equal(taken, 16_384)
  pass(world, SECOND)
  assert.equal(world.a.machine.write(stream, bytes, 0), 0)
  pass(world, SECOND)
  const told = said.filter((each) => each.startsWith('blocked'))
  assert.deepEqual(told, [`blocked ${stream.id}`])
  world.close()
})

test('who waits for credit of the connection, or for a stream, says so', () => {
  const world = connected({ limits: { keepAliveMs: 0 } })
  const said = listen(world, world.a)
  let opened = 0
  while (world.a.machine.open(true)) opened++
  assert.equal(opened, 16)
  const limited = connected({
    security: changed('server', (own) => {
      own.streamsUni = 1
      own.initialMaxData = 1_000
    }),
  })
  const alone = limited.a.machine.open(false)!
  const told = listen(limited, limited.a)
  assert.equal(limited.a.machine.open(false), undefined)
  assert.equal(limited.a.machine.write(alone, new Uint8Array(5_000), 0), 1_000)
  pass(limited, SECOND)
  assert.deepEqual(
    told.filter((each) => each.startsWith('blocked')),
    ['blocked -1', 'blocked -1'],
  )
  assert.deepEqual(said, [])
  world.close()
  limited.close()
})

test('a key that has sealed all it may and cannot be updated ends the connection', () => {
  const security = { ...toySecurity(), limits: () => ({ sealedMax: 64, forgedMax: 1_000 }) }
  const world = connected({ security })
  const home = world.b.address
  // Nothing that b sends arrives, so a gets no acknowledgement for an update.
  world.a.address = { host: '10.9.9.9', port: 9 }
  world.b.address = { host: '10.9.9.8', port: 9 }
  for (let each = 0; each < 300 && !world.a.end; each++) {
    world.forge(world.a, Uint8Array.of(FrameType.ping, 0, 0, 0), 1_000 + each, home)
    world.a.machine.flush(instant(world.now), world.a)
    pass(world, 30_000)
  }
  assert.equal(world.a.end?.transportCode, ErrorCode.aeadLimit)
  world.close()
})

test('so many packets that are not authentic end the connection', () => {
  const security = { ...toySecurity(), limits: () => ({ sealedMax: 2 ** 23, forgedMax: 20 }) }
  const world = connected({ security })
  for (let each = 0; each < 25 && !world.b.end; each++) {
    const bytes = world.random.bytes(60)
    bytes[0] = 0x43
    world.b.machine.receive(bytes, world.a.address, instant(world.now), world.b)
  }
  assert.equal(world.b.end?.transportCode, ErrorCode.aeadLimit)
  world.close()
})

test('connection ids in the transport parameters that are not those of the handshake end it', () => {
  const wrong = new Uint8Array(8).fill(9)
  const changes: ((own: TransportParameters) => void)[] = [
    (own) => void (own.initialSource = wrong),
    (own) => void (own.initialSource = undefined),
    (own) => void (own.originalDestination = wrong),
    (own) => void (own.originalDestination = undefined),
    (own) => void (own.retrySource = wrong),
  ]
  for (const [index, change] of changes.entries()) {
    const world = made({ security: changed('server', change) })
    world.run(() => world.a.end !== undefined)
    assert.equal(world.a.end!.transportCode, ErrorCode.transportParameter, `change ${index}`)
    world.close()
  }
  const world = made({ security: changed('client', (own) => void (own.initialSource = wrong)) })
  world.run(() => world.b.end !== undefined)
  assert.equal(world.b.end!.transportCode, ErrorCode.transportParameter)
  world.close()
})

test('the shorter idle timeout of both holds, and keep-alives come in time for it', () => {
  const security = changed('server', (own) => void (own.maxIdleTimeoutMs = 900))
  const world = connected({ security })
  const before = world.sent
  pass(world, 3 * SECOND)
  assert.ok(!world.a.end && !world.b.end)
  assert.ok(world.sent - before >= 18, `${world.sent - before} datagrams in 3 s`)
  world.a.address = { host: '10.9.9.9', port: 9 }
  world.b.address = { host: '10.9.9.8', port: 9 }
  const from = world.now
  world.run(() => world.a.end !== undefined)
  assert.ok(world.now - from < 1_900_000, `${world.now - from} us`)
  world.close()
})

test('one packet is acknowledged within 10 ms, the second at once, and so is one out of order', () => {
  const world = connected()
  const ping = Uint8Array.of(FrameType.ping, 0, 0, 0)
  const acks = () => listen(world, world.b)
  let said = acks()
  const { b } = world
  const next = 20
  world.forge(b, ping, next)
  b.machine.flush(instant(world.now), b)
  assert.equal(said.filter((each) => each.startsWith('ack')).length, 1, 'there is a gap before it')
  said = acks()
  world.forge(b, ping, next + 1)
  b.machine.flush(instant(world.now), b)
  assert.deepEqual(said, [])
  assert.ok(b.machine.wakeAt - world.now <= 10_000)
  world.forge(b, ping, next + 2)
  b.machine.flush(instant(world.now), b)
  assert.ok(said.some((each) => each === `ack ${next + 2}`))
  world.close()
})

test('probes into silence come twice as far apart each time', () => {
  const world = connected({ limits: { keepAliveMs: 0 } })
  world.b.address = { host: '10.9.9.8', port: 9 }
  const stream = world.a.machine.open(false)!
  world.a.machine.write(stream, new Uint8Array(100), 0)
  const times: number[] = []
  world.watch = (from) => {
    if (from === world.a && times.at(-1) !== world.now) times.push(world.now)
  }
  world.a.machine.flush(instant(world.now), world.a)
  pass(world, 4 * SECOND)
  const gaps = times.slice(1).map((time, index) => time - times[index]!)
  assert.ok(gaps.length >= 5, `${gaps}`)
  for (const [index, gap] of gaps.slice(1).entries()) {
    assert.ok(Math.abs(gap / gaps[index]! - 2) < 0.01, `${gaps}`)
  }
  // They do not put the end off.
  world.run(() => world.a.end !== undefined)
  assert.ok(world.now - times[0]! <= 30_100_000, `${world.now - times[0]!} us`)
  world.close()
})

test('a server sends three times what has come until the address is proved', () => {
  const world = made()
  let [received, sent] = [0, 0]
  world.watch = (from, bytes) => {
    if (from === world.a) received += bytes.length
    else sent += bytes.length
    // After the first flight of the server nothing of the client arrives.
    if (from === world.b) world.b.address = { host: '10.9.9.8', port: 9 }
  }
  world.run(() => sent > 0)
  const first = received
  pass(world, 20 * SECOND)
  assert.ok(sent <= 3 * first, `${sent} bytes for ${first}`)
  assert.ok(sent > first)
  world.close()
})

test('a short Initial, and a second packet for another connection, are dropped', () => {
  const world = made()
  const datagrams: Uint8Array[] = []
  world.watch = (from, bytes) => {
    if (from === world.a) datagrams.push(bytes.slice())
  }
  world.a.machine.flush(instant(world.now), world.a)
  const [first] = datagrams
  const { destination, source } = idsOf(first!)
  const short = new Uint8Array(600)
  const headEnd = longHeadSize(true, destination, source, new Uint8Array(0), 1)
  const lengthAt = writeLongHead(short, 0, 'initial', destination, source, new Uint8Array(0), 1)
  writeVarint2(short, lengthAt, 600 - headEnd + 1)
  short[headEnd - 1] = 9
  short[headEnd] = FrameType.ping
  toySecurity().initialKeys(destination, 'client').write.seal(short, 0, headEnd, 584, 9, 1)
  world.b.machine.receive(short, world.a.address, instant(world.now), world.b)
  assert.equal(world.b.machine.stats.taken, 0)
  world.b.machine.receive(first!.slice(), world.a.address, instant(world.now), world.b)
  assert.equal(world.b.machine.stats.taken, 1)
  world.close()
})

test('a client takes one Retry, with the right tag and another id, and before anything else', () => {
  const toy = toySecurity()
  const world = made()
  const { a } = world
  const sent: Uint8Array[] = []
  world.watch = (from, bytes) => {
    if (from === a) sent.push(bytes.slice())
  }
  a.machine.flush(instant(world.now), a)
  const [first] = sent
  const original = idsOf(first!).destination
  const source = world.issued.find(({ side }) => side === a)!.id.bytes
  const retry = (id: Uint8Array, of: Uint8Array) => {
    const bytes = new Uint8Array(300)
    const token = new Uint8Array(20).fill(5)
    return bytes.slice(0, writeRetry(bytes, toy.retryTag, of, source, id, token))
  }
  const give = (bytes: Uint8Array) => {
    a.machine.receive(bytes, world.b.address, instant(world.now), a)
    a.machine.flush(instant(world.now), a)
  }
  const id = new Uint8Array(8).fill(4)
  give(retry(id, new Uint8Array(16).fill(1)))
  give(retry(original, original))
  assert.equal(sent.length, 1, 'neither was taken')
  give(retry(id, original))
  assert.equal(sent.length, 2)
  assert.deepEqual(sent[1]!.slice(6, 6 + sent[1]![5]!), id)
  give(retry(new Uint8Array(8).fill(3), original))
  assert.equal(sent.length, 2, 'one and no more')
  world.close()
})

test('version negotiation ends a client that was not heard, unless it names version 1 or another id', () => {
  const negotiation = (world: World, source: Uint8Array, version: number) => {
    const own = world.issued.find(({ side }) => side === world.a)!.id.bytes
    return Uint8Array.from([
      ...[0x80, 0, 0, 0, 0, own.length, ...own, source.length, ...source],
      ...[0, 0, 0, version],
    ])
  }
  for (const [version, right, ends] of [
    [7, true, true],
    [1, true, false],
    [7, false, false],
  ] as const) {
    const world = made()
    const { a } = world
    let original = new Uint8Array(8)
    world.watch = (from, bytes) => {
      if (from === a) original = bytes.slice(6, 6 + bytes[5]!)
    }
    a.machine.flush(instant(world.now), a)
    const bytes = negotiation(world, right ? original : new Uint8Array(8), version)
    a.machine.receive(bytes, world.b.address, instant(world.now), a)
    assert.equal(a.end !== undefined, ends, `version ${version}`)
    world.close()
  }
  const world = connected()
  const bytes = negotiation(world, new Uint8Array(8), 7)
  world.a.machine.receive(bytes, world.b.address, instant(world.now), world.a)
  assert.equal(world.a.end, undefined)
  world.close()
})

test('a packet that wants an answer is long enough for a reset', () => {
  const world = connected()
  const lengths: number[] = []
  world.watch = (_from, bytes) => {
    if ((bytes[0]! & 0x80) === 0) lengths.push(bytes.length)
  }
  pass(world, 4_900_000)
  lengths.length = 0
  world.run(() => lengths.length > 0)
  assert.ok(lengths[0]! >= 43, `${lengths}`)
  world.close()
})

test('who only acknowledges asks for an answer now and then, when there is much to report', () => {
  const world = connected()
  const { b } = world
  const give = (step: number) => {
    for (let each = 0; each < 40; each++) {
      const number = 1_000 * step + step * each
      world.forge(b, Uint8Array.of(FrameType.ping, 0, 0, 0), number)
      b.machine.flush(instant(world.now), b)
      if (b.machine.stats.inFlight > 0) return each
    }
    return -1
  }
  assert.ok(give(2) >= 20)
  world.close()
})

test('a client that has an answer to its data is confirmed, also when it is not told so', () => {
  const world = made({ limits: { keepAliveMs: 0 } })
  const { a, b } = world
  const send = b.send.bind(b)
  b.send = (bytes, length, remote) => {
    if (!world.read(b, bytes.slice(0, length))?.includes('done')) send(bytes, length, remote)
  }
  world.run(() => a.up && b.up)
  const stream = a.machine.open(false)!
  b.work = () => {}
  a.machine.write(stream, new Uint8Array(100), 0)
  pass(world, 20_000)
  b.address = { host: '10.9.9.8', port: 9 }
  a.machine.write(stream, new Uint8Array(100), 0)
  let sent = 0
  world.watch = (from, bytes) => {
    if (from === a && world.read(a, bytes)?.some((each) => each.startsWith('stream'))) sent++
  }
  pass(world, SECOND)
  assert.ok(sent >= 4, `it probes: ${sent} datagrams`)
  world.close()
})

test('a keep-alive goes out behind a window that is full', () => {
  const world = made()
  const { a, b } = world
  const send = b.send.bind(b)
  b.send = (bytes, length, remote) => {
    if ((bytes[0]! & 0x80) !== 0) send(bytes, length, remote)
  }
  world.run(() => a.up)
  const stream = a.machine.open(false)!
  b.work = () => {}
  a.machine.write(stream, new Uint8Array(16_000), 0)
  pass(world, SECOND)
  assert.ok(a.machine.stats.inFlight >= a.machine.stats.window - 1_200)
  let sent = 0
  world.watch = (from) => {
    if (from === a) sent++
  }
  pass(world, 6 * SECOND)
  assert.ok(sent > 0)
  world.close()
})
