/** Peers that are authenticated and mean ill: each flood meets its cap, and what it breaks is the connection alone. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { instant } from '../runtime/index.ts'
import { FrameType } from './frames/frame-types.ts'
import {
  writeCryptoHead,
  writeNewConnectionId,
  writeNumbers,
  writePath,
  writeStreamHead,
} from './frames/write-frames.ts'
import { ErrorCode } from './packet/errors.ts'
import { World } from './simulation.fixture.ts'
import { toySecurity } from './toy-tls.fixture.ts'

const CLEAN = Object.freeze({ lost: 0, doubled: 0, damaged: 0, delayUs: 500, jitterUs: 0 })
const STREAM = 0

/** Two ends that are connected and do nothing. */
function connected(): World {
  const world = new World({ seed: 1, faults: CLEAN, security: toySecurity(), streams: 0 })
  world.run(() => world.a.up && world.b.up)
  const until = world.now + 100_000
  world.run(() => world.now >= until)
  return world
}

/** A frame, written by the writer into a buffer of its own. */
function frame(write: (bytes: Uint8Array) => number): Uint8Array {
  const bytes = new Uint8Array(1_200)
  return bytes.slice(0, write(bytes))
}

const streamFrame = (id: number, offset: number, length: number, fin = false) =>
  frame((bytes) => writeStreamHead(bytes, 0, id, offset, length, fin) + length)

function endsWith(world: World, code: number): void {
  assert.ok(world.b.end, `the connection goes on: ${world.describe()}`)
  assert.equal(world.b.end.transportCode, code, world.b.end.info.reason)
  world.close()
}

test('a flood of gaps is held to its cap, and what is not taken is not acknowledged', () => {
  const world = connected()
  const before = world.b.machine.stats.taken
  for (let gap = 0; gap < 4_000; gap++) world.forge(world.b, streamFrame(STREAM, 1 + 2 * gap, 1))
  assert.equal(world.b.end, undefined)
  assert.equal(world.b.machine.stats.taken - before, 65)
  assert.ok(world.ledger.costBytes <= world.ledger.plan.accountBytes)
  world.close()
})

test('bytes beyond the credit of a stream end the connection', () => {
  const world = connected()
  world.forge(world.b, streamFrame(STREAM, 16 * 1024, 1))
  endsWith(world, ErrorCode.flowControl)
})

test('bytes beyond the credit of the connection end it', () => {
  const world = connected()
  // Every stream that opens brings its window with it, so the sum is found with one that is stopped again.
  for (let id = 0; id < 16 * 4; id += 4) world.forge(world.b, streamFrame(id, 16 * 1024 - 1, 1))
  for (let id = 2; id < 16 * 4; id += 4) world.forge(world.b, streamFrame(id, 16 * 1024 - 1, 1))
  assert.equal(world.b.end?.transportCode, ErrorCode.flowControl)
  world.close()
})

test('a stream more than was granted ends the connection', () => {
  const world = connected()
  world.forge(world.b, streamFrame(15 * 4, 0, 1))
  assert.equal(world.b.machine.stats.streams, 16)
  world.forge(world.b, streamFrame(16 * 4, 0, 1))
  endsWith(world, ErrorCode.streamLimit)
})

test('streams that come and go without being accepted are not granted anew', () => {
  const world = connected()
  for (let id = 0; id < 16 * 4; id += 4) {
    world.forge(
      world.b,
      frame((bytes) => writeNumbers(bytes, 0, FrameType.resetStream, id, 1, 0)),
    )
  }
  assert.equal(world.b.machine.stats.streams, 16)
  world.forge(world.b, streamFrame(16 * 4, 0, 1))
  endsWith(world, ErrorCode.streamLimit)
})

test('frames for streams that nobody opened end the connection', () => {
  for (const [type, id] of [
    [FrameType.maxStreamData, 1],
    [FrameType.stopSending, 1],
    [FrameType.maxStreamData, 2],
    [FrameType.stopSending, 2],
  ] as const) {
    const world = connected()
    world.forge(
      world.b,
      frame((bytes) => writeNumbers(bytes, 0, type, id, 5)),
    )
    endsWith(world, ErrorCode.streamState)
  }
  const world = connected()
  world.forge(world.b, streamFrame(3, 0, 1))
  endsWith(world, ErrorCode.streamState)
})

test('a stream whose end moves ends the connection', () => {
  for (const second of [streamFrame(STREAM, 12, 1), streamFrame(STREAM, 5, 1, true)]) {
    const world = connected()
    world.forge(world.b, streamFrame(STREAM, 0, 10, true))
    world.forge(world.b, second)
    endsWith(world, ErrorCode.finalSize)
  }
})

test('handshake bytes far ahead end the connection', () => {
  const world = connected()
  world.forge(
    world.b,
    frame((bytes) => writeCryptoHead(bytes, 0, 9_000, 1) + 1),
  )
  endsWith(world, ErrorCode.cryptoBuffer)
})

test('more connection ids than we take end the connection', () => {
  const world = connected()
  for (let sequence = 2; sequence < 9 && !world.b.end; sequence++) {
    world.forge(world.b, newId(sequence, 0))
  }
  endsWith(world, ErrorCode.connectionIdLimit)
})

test('a flood of retired connection ids ends the connection', () => {
  const world = connected()
  for (let sequence = 2; sequence < 40 && !world.b.end; sequence++) {
    world.forge(world.b, newId(sequence, sequence))
  }
  endsWith(world, ErrorCode.connectionIdLimit)
})

test('retiring our ids again and again gives new ones and never more at once', () => {
  const world = connected()
  for (let sequence = 0; sequence < 100; sequence++) {
    world.forge(
      world.b,
      frame((bytes) => writeNumbers(bytes, 0, FrameType.retireConnectionId, sequence)),
    )
    world.b.machine.flush(instant(world.now), world.b)
  }
  assert.equal(world.b.end, undefined)
  assert.ok(world.routes <= 4, `${world.routes} ids`)
  world.forge(
    world.b,
    frame((bytes) => writeNumbers(bytes, 0, FrameType.retireConnectionId, 9_999)),
  )
  endsWith(world, ErrorCode.protocolViolation)
})

test('who acknowledges what was never sent is cut off', () => {
  const world = connected()
  world.forge(world.b, Uint8Array.of(FrameType.ack, 0x7f, 0xff, 0, 0, 0))
  endsWith(world, ErrorCode.protocolViolation)
})

test('packets with every other number are noted up to a cap', () => {
  const world = connected()
  for (let each = 0; each < 5_000; each++) {
    world.forge(world.b, Uint8Array.of(FrameType.ping, 0, 0, 0), 2 ** 21 + 2 * each)
  }
  assert.equal(world.b.end, undefined)
  assert.ok(world.b.machine.stats.ranges <= 64)
  // And one that fell out of the notes does not count twice.
  const taken = world.b.machine.stats.taken
  world.forge(world.b, Uint8Array.of(FrameType.ping, 0, 0, 0), 2 ** 21)
  assert.equal(world.b.machine.stats.taken, taken)
  world.close()
})

test('a flood of path challenges is answered for the last of them', () => {
  const world = connected()
  for (let each = 0; each < 1_000; each++) {
    const data = new Uint8Array(8).fill(each)
    world.forge(
      world.b,
      frame((bytes) => writePath(bytes, 0, FrameType.pathChallenge, data)),
    )
  }
  const before = world.sent
  world.b.machine.flush(instant(world.now), world.b)
  assert.ok(world.sent - before <= 2)
  world.close()
})

test('frames of the other role end the connection', () => {
  const world = connected()
  world.forge(world.b, Uint8Array.of(FrameType.handshakeDone, 0, 0, 0))
  endsWith(world, ErrorCode.protocolViolation)
  const tokens = connected()
  tokens.forge(tokens.b, Uint8Array.of(FrameType.newToken, 2, 1, 1))
  endsWith(tokens, ErrorCode.protocolViolation)
})

test('random frames under good keys never make a connection throw, and leave nothing', () => {
  for (let seed = 0; seed < 150; seed++) {
    const world = connected()
    for (let round = 0; round < 60 && !world.b.end; round++) {
      const bytes = world.random.bytes(4 + world.random.below(200))
      bytes[0] = world.random.below(0x20)
      world.forge(world.b, bytes)
      world.b.machine.flush(instant(world.now), world.b)
    }
    world.close()
  }
})

function newId(sequence: number, retirePrior: number): Uint8Array {
  const id = new Uint8Array(8).fill(sequence)
  const token = new Uint8Array(16).fill(sequence)
  return frame((bytes) => writeNewConnectionId(bytes, 0, sequence, retirePrior, id, token))
}

test('a stateless reset of the peer ends the connection, one with another token does not', () => {
  const world = connected()
  const reset = (token: Uint8Array) => {
    const bytes = world.random.bytes(42)
    bytes[0] = 0x40 | (bytes[0]! & 0x3f)
    bytes.set(token, bytes.length - 16)
    world.a.machine.receive(bytes, world.b.address, instant(world.now), world.a)
  }
  reset(new Uint8Array(16).fill(1))
  assert.equal(world.a.end, undefined)
  reset(world.issued.find(({ side }) => side === world.b)!.id.token)
  assert.equal(world.a.end!.info.by, 'lost')
  assert.equal(world.a.end!.farewell, undefined)
  world.close()
})

test('credit of the connection, byte by byte, has nobody looked at who waits for credit of a stream', () => {
  const world = connected()
  const stream = world.b.machine.open(false)!
  world.b.machine.write(stream, new Uint8Array(100_000), 0)
  let looked = 0
  const look = () => {
    looked++
    return 0
  }
  Object.defineProperty(stream.send, 'room', { get: look })
  for (let round = 0; round < 100; round++) {
    world.forge(
      world.b,
      frame((bytes) => writeNumbers(bytes, 0, FrameType.maxData, 2 ** 20 + round)),
    )
  }
  assert.equal(world.b.end, undefined)
  assert.ok(looked <= 1, `${looked} times`)
  world.close()
})

test('a peer that moves with each packet is answered with little, and takes no records', () => {
  const world = connected()
  const home = world.a.address
  const elsewhere = { host: '10.9.9.9', port: 9 }
  let [received, sent] = [0, 0]
  world.watch = (from, bytes) => {
    if (from === world.b) sent += bytes.length
  }
  const before = [...world.ledger.rows()].find(({ term }) => term.name === 'quic.records')!.bytes
  for (let round = 0; round < 1_000; round++) {
    world.forge(
      world.b,
      Uint8Array.of(FrameType.ping, 0, 0, 0),
      undefined,
      round % 2 ? home : elsewhere,
    )
    received += 33
    world.b.machine.flush(instant(world.now), world.b)
  }
  assert.equal(world.b.machine.stats.moves, 1_000)
  assert.ok(sent <= 3 * received, `${sent} bytes for ${received}`)
  assert.ok(world.b.machine.stats.inFlight <= world.b.machine.stats.window)
  const { bytes } = [...world.ledger.rows()].find(({ term }) => term.name === 'quic.records')!
  assert.ok(bytes <= before + 1_024, `${bytes - before} bytes of records`)
  world.close()
})
