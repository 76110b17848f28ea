import assert from 'node:assert/strict'
import test from 'node:test'
import { seededRandom } from '../../runtime/index.ts'
import { ErrorCode } from './errors.ts'
import {
  longHeadSize,
  PacketHead,
  readHead,
  readNumber,
  writeLongHead,
  writeNumber,
} from './header.ts'
import { fullPacketNumber, packetNumberLength } from './numbers.ts'
import { decodeParameters, defaultParameters, encodeParameters } from './parameters.ts'
import { Cursor, writeVarint2 } from './varint.ts'

test('packet numbers of RFC 9000 A.2 and A.3', () => {
  assert.equal(packetNumberLength(0xac5c02, 0xabe8b3), 2)
  assert.equal(packetNumberLength(0xace8fe, 0xabe8b3), 3)
  assert.equal(fullPacketNumber(0xa82f30ea, 0x9b32, 2), 0xa82f9b32)
})

test('a number that was cut is read back from any place within half a window', () => {
  const random = seededRandom(1)
  for (let round = 0; round < 2_000; round++) {
    const acked = random.below(2 ** 31) - 1
    const number = acked + 1 + random.below(60_000)
    const length = packetNumberLength(number, acked)
    const bytes = new Uint8Array(4)
    writeNumber(bytes, 0, number, length)
    const largest = acked + random.below(number - acked)
    assert.equal(fullPacketNumber(largest, readNumber(bytes, 0, length), length), number)
  }
})

test('a long header is read as it was written', () => {
  const bytes = new Uint8Array(100)
  const [destination, source] = [new Uint8Array(20).fill(1), new Uint8Array(8).fill(2)]
  const token = new Uint8Array(5).fill(3)
  const lengthAt = writeLongHead(bytes, 0, 'initial', destination, source, token, 2)
  writeVarint2(bytes, lengthAt, 40)
  const head = new PacketHead()
  const cursor = new Cursor().reset(bytes)
  assert.ok(readHead(cursor, head))
  assert.equal(head.type, 'initial')
  assert.equal(head.numberAt + 2, longHeadSize(true, destination, source, token, 2))
  assert.deepEqual(bytes.subarray(head.tokenAt, head.tokenAt + head.tokenLength), token)
  assert.deepEqual(bytes.subarray(head.sourceAt, head.sourceAt + head.sourceLength), source)
  assert.equal(head.end, head.numberAt + 40)
  assert.equal(cursor.at, head.end)
})

test('no bytes make the reader of headers throw or read past the end', () => {
  const random = seededRandom(2)
  const head = new PacketHead()
  for (let round = 0; round < 20_000; round++) {
    const bytes = random.bytes(1 + random.below(80))
    if (round % 2) {
      bytes[0] = 0xc0 | random.below(64)
      if (bytes.length > 5) bytes.set([0, 0, 0, 1, random.below(22)], 1)
    }
    const cursor = new Cursor().reset(bytes)
    if (readHead(cursor, head)) assert.ok(head.end <= bytes.length && cursor.at <= bytes.length)
  }
})

test('transport parameters are read as they were written', () => {
  const own = defaultParameters()
  own.maxIdleTimeoutMs = 30_000
  own.initialMaxData = 2 ** 40
  own.streamsUni = 16
  own.originalDestination = new Uint8Array(20).fill(4)
  own.initialSource = new Uint8Array(8).fill(5)
  own.statelessResetToken = new Uint8Array(16).fill(6)
  assert.deepEqual(decodeParameters(encodeParameters(own), false), own)
})

test('transport parameters that must not be are refused', () => {
  const refused = (bytes: number[], fromClient = false) => {
    const answer = decodeParameters(Uint8Array.from(bytes), fromClient)
    assert.ok('code' in answer && answer.code === ErrorCode.transportParameter, String(bytes))
  }
  refused([1, 1, 5, 1, 1, 5])
  refused([1, 2, 5])
  refused([1, 2, 5, 5])
  refused([3, 2, 0x44, 0xaf])
  refused([10, 1, 21])
  refused([11, 4, 0x80, 0, 0x40, 0])
  refused([14, 1, 1])
  refused([2, 3, 1, 1, 1])
  refused([12, 1, 1])
  refused([2, 16, ...new Array(16).fill(1)], true)
  refused([0, 4, 1, 2, 3, 4], true)
  refused([15, 21, ...new Array(21).fill(1)])
  const preferred = (length: number, id: number) => [
    ...[13, length, ...new Array(24).fill(1), id],
    ...new Array(length - 25).fill(2),
  ]
  refused(preferred(41, 0))
  refused(preferred(48, 8))
  refused(preferred(49, 8), true)
  const read = decodeParameters(Uint8Array.from(preferred(49, 8)), false)
  assert.ok('preferredAddress' in read && read.preferredAddress)
  const unknown = decodeParameters(Uint8Array.of(0x40, 0x99, 2, 1, 1, 1, 1, 7), false)
  assert.ok('maxIdleTimeoutMs' in unknown && unknown.maxIdleTimeoutMs === 7)
})

test('no bytes make the reader of transport parameters throw', () => {
  const random = seededRandom(3)
  for (let round = 0; round < 10_000; round++) {
    const bytes = random.bytes(random.below(60))
    for (let at = 0; at < bytes.length; at += 3) bytes[at] = random.below(0x21)
    decodeParameters(bytes, round % 2 === 0)
  }
})
