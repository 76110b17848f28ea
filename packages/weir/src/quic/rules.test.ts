/** Rules of RFC 9000, 9001 and 9002 that two well-behaved ends never show to each other. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { instant } from '../runtime/index.ts'
import { writeRetry } from './endpoint/stateless.ts'
import { FrameType } from './frames/frame-types.ts'
import { writeNumbers, writePath } from './frames/write-frames.ts'
import { ErrorCode } from './packet/errors.ts'
import {
  decodeParameters,
  encodeParameters,
  type TransportParameters,
} from './packet/parameters.ts'
import type { QuicSecurity } from './security.ts'
import { World, type WorldOptions } from './simulation.fixture.ts'
import type { Side } from './simulation-side.fixture.ts'
import { toySecurity } from './toy-tls.fixture.ts'

const CLEAN = Object.freeze({ lost: 0, doubled: 0, damaged: 0, delayUs: 500, jitterUs: 0 })
const SECOND = 1_000_000

const made = (options: Partial<WorldOptions> = {}) =>
  new World({ seed: 1, faults: CLEAN, security: toySecurity(), streams: 0, ...options })

function connected(options: Partial<WorldOptions> = {}): World {
  const world = made(options)
  world.run(() => world.a.up && world.b.up)
  pass(world, 200_000)
  return world
}

function pass(world: World, us: number): void {
  const until = world.now + us
  world.at(until, () => {})
  world.run(() => world.now >= until)
}

/** Notes what a side says from now on. */
function listen(world: World, side: Side): string[] {
  const said: string[] = []
  world.watch = (from, bytes) => {
    if (from === side) said.push(...(world.read(from, bytes) ?? []))
  }
  return said
}

/** A security whose server tells other transport parameters than it was given. */
function changed(
  side: 'client' | 'server',
  change: (own: TransportParameters) => void,
): QuicSecurity {
  const toy = toySecurity()
  const altered = (bytes: Uint8Array): Uint8Array => {
    const own = decodeParameters(bytes, side === 'client')
    assert.ok(!('reason' in own))
    change(own)
    return encodeParameters(own)
  }
  return {
    ...toy,
    [side]: (
      options: Parameters<QuicSecurity['client']>[0] & Parameters<QuicSecurity['server']>[0],
    ) => toy[side]({ ...options, parameters: altered(options.parameters) }),
  }
}

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

test('a challenge from elsewhere is answered there and moves nothing', () => {
  const world = connected()
  const elsewhere = { host: '10.7.7.7', port: 7 }
  const challenge = new Uint8Array(1_000)
  writePath(challenge, 0, FrameType.pathChallenge, new Uint8Array(8).fill(7))
  const answers: { readonly port: number; readonly length: number }[] = []
  world.watch = (_from, bytes, remote) => {
    if (world.read(world.b, bytes)?.includes('response')) {
      answers.push({ port: remote.port, length: bytes.length })
    }
  }
  world.forge(world.b, challenge, 50, elsewhere)
  world.b.machine.flush(instant(world.now), world.b)
  assert.deepEqual(answers, [{ port: 7, length: 1_200 }])
  assert.equal(world.b.machine.stats.moves, 0)
  // From few bytes, few bytes.
  world.forge(world.b, challenge.subarray(0, 9), 51, elsewhere)
  world.b.machine.flush(instant(world.now), world.b)
  assert.equal(answers.length, 2)
  assert.ok(answers[1]!.length <= 3 * 38)
  world.close()
})

test('a packet that does more than probe moves the path, and an old one does not', () => {
  const world = connected()
  const elsewhere = { host: '10.7.7.7', port: 7 }
  const ping = Uint8Array.of(FrameType.ping, 0, 0, 0)
  world.forge(world.b, ping, 60)
  world.forge(world.b, ping, 55, elsewhere)
  assert.equal(world.b.machine.stats.moves, 0)
  world.forge(world.b, ping, 61, elsewhere)
  assert.equal(world.b.machine.stats.moves, 1)
  const to = new Set<string>()
  world.watch = (from, bytes, remote) => {
    if (world.read(from, bytes)?.includes('challenge')) to.add(remote.host)
  }
  world.b.machine.flush(instant(world.now), world.b)
  assert.deepEqual([...to].sort(), ['10.0.0.1', '10.7.7.7'], 'both are asked')
  world.watch = undefined
  pass(world, 10 * SECOND)
  assert.deepEqual(world.b.machine.remote, world.a.address, 'only one of them answers')
  world.close()
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
  const short = first!.slice(0, 1_199)
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
  const original = first!.slice(6, 6 + first![5]!)
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

test('ids that we retire are told to the peer until it knows', () => {
  const world = connected()
  const said = listen(world, world.b)
  const bytes = new Uint8Array(30)
  const end = writeNumbers(bytes, 0, FrameType.retireConnectionId, 0)
  world.forge(world.b, bytes.slice(0, end))
  world.b.machine.flush(instant(world.now), world.b)
  assert.ok(
    said.some((each) => each.startsWith('newId 2 0')),
    `${said}`,
  )
  world.close()
})
