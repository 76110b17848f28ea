/** A peer that turns up elsewhere: what moves with it, and what it must prove first (RFC 9000 sections 8 and 9). */
import assert from 'node:assert/strict'
import test from 'node:test'
import { instant } from '../runtime/index.ts'
import { FrameType } from './frames/frame-types.ts'
import { writeNumbers, writePath } from './frames/write-frames.ts'
import { ErrorCode } from './packet/errors.ts'
import { connected, listen, made, pass, SECOND } from './rules.fixture.ts'
import type { QuicSecurity } from './security.ts'
import { toySecurity } from './toy-tls.fixture.ts'

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
  let spent = 0
  world.watch = (from, bytes, remote) => {
    if (world.read(from, bytes)?.includes('challenge')) to.add(remote.host)
    if (remote.host === elsewhere.host) spent += bytes.length
  }
  world.b.machine.flush(instant(world.now), world.b)
  assert.deepEqual([...to].sort(), ['10.0.0.1', '10.7.7.7'], 'both are asked')
  const stream = world.b.machine.open(false)!
  world.b.machine.write(stream, new Uint8Array(9_000), 0)
  pass(world, 2 * SECOND)
  assert.deepEqual(world.b.machine.remote, elsewhere, 'it has three seconds')
  assert.ok(spent > 0 && spent <= 3 * 38, `${spent} bytes for 38`)
  world.a.work = () => {}
  pass(world, 10 * SECOND)
  assert.deepEqual(world.b.machine.remote, world.a.address, 'only one of them answers')
  world.close()
})

test('an address that is not proved gets three times what came from it and no more', () => {
  const world = connected()
  const { b } = world
  const elsewhere = { host: '10.7.7.7', port: 7 }
  const stream = b.machine.open(false)!
  b.machine.write(stream, new Uint8Array(9_000), 0)
  let spent = 0
  world.watch = (_from, bytes, remote) => {
    if (remote.host === elsewhere.host) spent += bytes.length
  }
  const frames = new Uint8Array(500)
  frames[0] = FrameType.ping
  world.forge(b, frames, 60, elsewhere)
  pass(world, 2 * SECOND)
  const received = 13 + 500 + 16
  assert.ok(spent > 1_200 && spent <= 3 * received, `${spent} bytes for ${received}`)
  world.close()
})

test('a peer on another path gets another id of ours when it uses another of its own, and else not', () => {
  const world = connected()
  const ids = new Set<string>()
  world.watch = (from, bytes) => {
    if (from === world.b && (bytes[0]! & 0x80) === 0) ids.add(String(bytes.slice(1, 9)))
  }
  world.a.address = { host: '10.0.0.1', port: 99 }
  pass(world, 11 * SECOND)
  assert.equal(world.b.machine.stats.moves, 1)
  assert.equal(ids.size, 1, 'behind a NAT')
  // Forged packets have an id of zeros.
  world.forge(world.b, Uint8Array.of(FrameType.ping, 0, 0, 0), 1_000, { host: '10.4.4.4', port: 4 })
  pass(world, SECOND)
  assert.equal(ids.size, 2, 'on purpose')
  world.close()
})

test('a client that moved to another host is met with a new window, to another port with the old one', () => {
  for (const host of ['10.0.0.1', '10.0.5.5']) {
    const world = made({ seed: 2, streams: 30, streamBytesMax: 200_000 })
    const { a, b } = world
    world.run(() => b.machine.stats.window > 60_000)
    a.address = { host, port: 99 }
    let least = Number.POSITIVE_INFINITY
    let probes = 0
    world.run(() => {
      const { moves, window } = b.machine.stats
      if (moves > 0) least = Math.min(least, window)
      return moves > 0 && (++probes > 300 || (a.done && b.done))
    })
    if (host === '10.0.0.1') assert.ok(least > 12_000, `${least}`)
    else assert.ok(least <= 12_000, `${least}`)
    world.close()
  }
})

test('the id of a preferred address is retired', () => {
  const toy = toySecurity()
  const preferred = [13, 49, ...new Array(24).fill(1), 8, ...new Array(24).fill(2)]
  const security: QuicSecurity = {
    ...toy,
    server: (options) =>
      toy.server({
        ...options,
        parameters: Uint8Array.from([...options.parameters, ...preferred]),
      }),
  }
  const world = made({ security })
  // Our server has no such id, and says so when it is given back.
  world.run(() => world.b.end !== undefined)
  assert.equal(world.b.end!.transportCode, ErrorCode.protocolViolation)
  assert.match(world.b.end!.info.reason, /retires a connection id/)
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
