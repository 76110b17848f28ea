/**
 * N+1 for what connections share: a pool that is empty costs the greedy, and whoever has only what every connection has
 * goes on beside them.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { instant } from '../runtime/index.ts'
import type { TlsMachine } from './contract.ts'
import { FrameType } from './frames/frame-types.ts'
import { writeCryptoHead, writeStreamHead } from './frames/write-frames.ts'
import { frame } from './hostile.fixture.ts'
import { ErrorCode } from './packet/errors.ts'
import { FIRST_RANGES } from './recovery/range-set.ts'
import type { QuicSecurity } from './security.ts'
import { World, type WorldOptions } from './simulation.fixture.ts'
import { toySecurity } from './toy-tls.fixture.ts'

const CLEAN = Object.freeze({ lost: 0, doubled: 0, damaged: 0, delayUs: 500, jitterUs: 0 })
const EMPTY = Object.freeze({ gapPoolBytes: 0, ackRangePoolBytes: 0, cryptoPoolBytes: 0 })

/** Two ends that are connected and do nothing. */
function connected(options: Partial<WorldOptions> = {}): World {
  const security = toySecurity()
  const world = new World({ seed: 1, faults: CLEAN, security, streams: 0, ...options })
  world.run(() => world.a.up && world.b.up)
  const until = world.now + 100_000
  world.run(() => world.now >= until)
  return world
}

const row = (world: World, name: string) =>
  [...world.ledger.rows()].find(({ term }) => term.name === name)!

const streamFrame = (id: number, offset: number) =>
  frame((bytes) => writeStreamHead(bytes, 0, id, offset, 1, false) + 1)

const cryptoFrame = (offset: number, content: Uint8Array) =>
  frame((bytes) => {
    const at = writeCryptoHead(bytes, 0, offset, content.length)
    bytes.set(content, at)
    return at + content.length
  })

const ping = Uint8Array.of(FrameType.ping, 0, 0, 0)

test('whoever finds all pools empty gets everything through a network that loses and turns around', () => {
  for (let seed = 1; seed <= 6; seed++) {
    const faults = { lost: 0.1, doubled: 0.02, damaged: 0.01, delayUs: 5_000, jitterUs: 20_000 }
    const world = new World({ seed, faults, security: toySecurity(), limits: EMPTY })
    world.run(() => world.a.done && world.b.done)
    for (const pool of ['gap', 'ack-range', 'crypto']) {
      assert.equal(row(world, `quic.${pool}-pool`).bytes, 0)
    }
    assert.ok(row(world, 'quic.ack-ranges').refused.pool > 0, 'more ranges were wanted')
    world.close()
  }
})

test('N+1 quic.gaps: with an empty pool each stream has its first gaps, and the rest is not acknowledged', () => {
  const world = connected({ limits: EMPTY })
  const { machine } = world.b
  const before = machine.stats.taken
  for (const id of [0, 4]) {
    for (let gap = 0; gap < 50; gap++) world.forge(world.b, streamFrame(id, 1 + 2 * gap))
  }
  assert.equal(machine.stats.taken - before, 2 * FIRST_RANGES)
  // What comes again in order is taken: the stream goes on.
  for (let at = 0; at < 20; at++) world.forge(world.b, streamFrame(0, at))
  assert.equal(world.b.end, undefined)
  assert.ok(machine.stats.taken - before > 20)
  world.close()
})

test('N+1 quic.gaps: one connection takes its share of the pool and not the pool', () => {
  const gapBytesMax = 2_048
  const world = connected({ limits: { gapBytesMax } })
  for (let id = 0; id < 16 * 4; id += 4) {
    for (let gap = 0; gap < 100; gap++) world.forge(world.b, streamFrame(id, 1 + 2 * gap))
  }
  assert.ok(row(world, 'quic.gaps').refused.cap > 0)
  assert.ok(row(world, 'quic.gaps').bytes <= gapBytesMax)
  assert.ok(row(world, 'quic.gap-pool').bytes > gapBytesMax / 2)
  world.b.machine.close(0, '', instant(world.now), world.b)
  assert.equal(row(world, 'quic.gap-pool').bytes, 0, 'all is given back')
  world.close()
})

test('gaps that are filled are given back while the connection lives', () => {
  const world = connected()
  for (let gap = 0; gap < 60; gap++) world.forge(world.b, streamFrame(0, 1 + 2 * gap))
  assert.ok(row(world, 'quic.gaps').bytes > 0)
  for (let gap = 0; gap < 60; gap++) world.forge(world.b, streamFrame(0, 2 * gap))
  assert.equal(row(world, 'quic.gaps').bytes, 0)
  world.close()
})

test('N+1 quic.ack-ranges: with an empty pool the oldest range is given up', () => {
  const world = connected({ limits: EMPTY })
  const { machine } = world.b
  const before = machine.stats.taken
  for (let each = 0; each < 200; each++) world.forge(world.b, ping, 2 ** 21 + 2 * each)
  assert.equal(world.b.end, undefined)
  assert.equal(machine.stats.taken - before, 200, 'each is taken')
  assert.ok(machine.stats.ranges <= FIRST_RANGES)
  assert.ok(row(world, 'quic.ack-ranges').refused.pool > 0)
  // One that was given up counts as one that was here.
  world.forge(world.b, ping, 2 ** 21 + 1)
  assert.equal(machine.stats.taken - before, 200)
  world.close()
})

test('ranges that the peer was told of are given back while the connection lives', () => {
  const faults = { lost: 0.1, doubled: 0, damaged: 0, delayUs: 5_000, jitterUs: 20_000 }
  const world = new World({ seed: 3, faults, security: toySecurity() })
  let most = 0
  world.run(() => {
    most = Math.max(most, row(world, 'quic.ack-ranges').bytes)
    return world.a.done && world.b.done
  })
  assert.ok(most > 0, 'some are needed')
  const until = world.now + 30_000_000
  world.run(() => world.now >= until)
  assert.ok(row(world, 'quic.ack-ranges').bytes < most / 2, 'keep-alives tell the peer')
  world.close()
})

test('N+1 quic.crypto: handshake bytes far ahead are not taken without room for them, and come again', () => {
  for (const [limits, taken] of [
    [EMPTY, 0],
    [{}, 1],
  ] as const) {
    const world = connected({ limits })
    const before = world.b.machine.stats.taken
    world.forge(world.b, cryptoFrame(7_000, Uint8Array.of(1)))
    assert.equal(world.b.machine.stats.taken - before, taken)
    assert.equal(row(world, 'quic.crypto').bytes > 0, taken === 1)
    assert.equal(row(world, 'quic.crypto').refused.pool, 1 - taken)
    world.forge(world.b, cryptoFrame(500, Uint8Array.of(1)))
    assert.equal(world.b.machine.stats.taken - before, taken + 1, 'the first kilobyte is there')
    assert.equal(world.b.end, undefined)
    world.close()
  }
})

test('handshake bytes that are in order are taken without any room, whatever waits behind them', () => {
  const world = connected({ limits: EMPTY, security: holding(0) })
  const before = world.b.machine.stats.taken
  for (let at = 100; at < 104; at++) {
    world.forge(world.b, cryptoFrame(2 * at, Uint8Array.of(1)))
  }
  world.forge(world.b, cryptoFrame(0, new Uint8Array(1_100)))
  world.forge(world.b, cryptoFrame(1_100, new Uint8Array(1_000)))
  assert.equal(world.b.machine.stats.taken - before, 6)
  assert.equal(world.b.end, undefined)
  world.close()
})

test('N+1 quic.crypto: a message in pieces that cannot be charged ends the connection with CRYPTO_BUFFER_EXCEEDED', () => {
  for (const [limits, held, ends] of [
    [EMPTY, 400, false],
    [EMPTY, 4_000, true],
    [{}, 4_000, false],
  ] as const) {
    const security = holding(held)
    const world = connected({ limits, security })
    world.forge(world.b, cryptoFrame(0, Uint8Array.of(4)))
    assert.equal(world.b.end?.transportCode, ends ? ErrorCode.cryptoBuffer : undefined)
    assert.equal(row(world, 'quic.crypto').bytes > 0, !ends && held === 4_000)
    world.close()
  }
})

/** TLS that holds so many bytes of a message once the handshake is over. */
function holding(bytes: number): QuicSecurity {
  const toy = toySecurity()
  const server: QuicSecurity['server'] = (options) => {
    const machine = toy.server(options)
    let heldBytes = 0
    const held: TlsMachine = {
      start: (effects) => machine.start(effects),
      handle(level, part, effects) {
        if (machine.established) heldBytes = bytes
        else machine.handle(level, part, effects)
      },
      get heldBytes() {
        return heldBytes
      },
      get established() {
        return machine.established
      },
      [Symbol.dispose]: () => machine[Symbol.dispose](),
    }
    return held
  }
  return { ...toy, server }
}
