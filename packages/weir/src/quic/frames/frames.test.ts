import assert from 'node:assert/strict'
import test from 'node:test'
import { seededRandom } from '../../runtime/index.ts'
import { ErrorCode, type Violation } from '../packet/errors.ts'
import { Cursor } from '../packet/varint.ts'
import { RangeSet } from '../recovery/range-set.ts'
import { FrameType } from './frame-types.ts'
import { ELICITS, NON_PROBING, readFrames } from './read-frames.ts'
import { Recorder } from './recorder.fixture.ts'
import {
  writeAck,
  writeClose,
  writeCryptoHead,
  writeNewConnectionId,
  writeNumbers,
  writePath,
  writeStreamHead,
} from './write-frames.ts'

const code = (read: number | Violation) => (typeof read === 'number' ? -1 : read.code)

function read(bytes: Uint8Array, level: 'initial' | 'application' = 'application') {
  const sink = new Recorder()
  return { result: readFrames(new Cursor().reset(bytes), level, sink), said: sink.said }
}

test('every frame is read as it was written', () => {
  const bytes = new Uint8Array(400)
  let at = writeStreamHead(bytes, 0, 4, 70_000, 3, true)
  bytes.set([1, 2, 3], at)
  at = writeCryptoHead(bytes, at + 3, 9, 2)
  bytes.set([8, 9], at)
  at = writeNumbers(bytes, at + 2, FrameType.resetStream, 5, 6, 7)
  at = writeNumbers(bytes, at, FrameType.stopSending, 5, 6)
  at = writeNumbers(bytes, at, FrameType.maxData, 2 ** 33)
  at = writeNumbers(bytes, at, FrameType.maxStreamData, 4, 99)
  at = writeNumbers(bytes, at, FrameType.maxStreamsUni, 100)
  const id = new Uint8Array(8).fill(1)
  at = writeNewConnectionId(bytes, at, 3, 2, id, new Uint8Array(16).fill(2))
  at = writeNumbers(bytes, at, FrameType.retireConnectionId, 1)
  at = writePath(bytes, at, FrameType.pathChallenge, new Uint8Array(8).fill(3))
  bytes[at++] = FrameType.ping
  bytes[at++] = FrameType.handshakeDone
  at = writeClose(bytes, at, true, 42, new TextEncoder().encode('bye'))
  const { result, said } = read(bytes.subarray(0, at))
  assert.equal(result, ELICITS | NON_PROBING)
  assert.deepEqual(said, [
    'stream 4 70000 1,2,3 fin',
    'crypto 9 8,9',
    'reset 5 6 7',
    'stop 5 6',
    `maxData ${2 ** 33}`,
    'maxStreamData 4 99',
    'maxStreams uni 100',
    'newId 3 2 8',
    'retire 1',
    'challenge',
    'done',
    'close application 42 bye',
  ])
})

test('an ACK frame says exactly which packets have come', () => {
  const random = seededRandom(4)
  for (let round = 0; round < 500; round++) {
    const ranges = new RangeSet(64)
    const numbers = new Set<number>()
    for (let each = 0; each < 60; each++) {
      const number = random.below(300)
      numbers.add(number)
      ranges.add(number, number + 1)
    }
    const bytes = new Uint8Array(1200)
    const end = writeAck(bytes, 0, bytes.length, ranges, 5, 0)
    const { result, said } = read(bytes.subarray(0, end))
    assert.equal(result, NON_PROBING)
    const heard = new Set<number>()
    for (const line of said) {
      const [what, low, high] = line.split(' ')
      if (what !== 'range') continue
      for (let number = Number(low); number <= Number(high); number++) heard.add(number)
    }
    assert.deepEqual([...heard].sort(), [...numbers].sort())
  }
})

test('an ACK frame in little room says the newest ranges, or nothing', () => {
  const ranges = new RangeSet(64)
  for (let number = 0; number < 100; number += 2) ranges.add(number, number + 1)
  const bytes = new Uint8Array(100)
  assert.equal(writeAck(bytes, 0, 10, ranges, 5, 0), 0)
  const end = writeAck(bytes, 0, 40, ranges, 5, 0)
  assert.ok(end > 0 && end <= 40)
  assert.equal(read(bytes.subarray(0, end)).said[1], 'range 98 98')
  const floored = writeAck(bytes, 0, 100, ranges, 5, 90)
  assert.equal(
    read(bytes.subarray(0, floored)).said.filter((line) => line.startsWith('range')).length,
    5,
  )
})

test('frames that must not be are refused', () => {
  const refused = (bytes: number[], expected: number, level?: 'initial') =>
    assert.equal(code(read(Uint8Array.from(bytes), level).result), expected, String(bytes))
  refused([], ErrorCode.protocolViolation)
  refused([0x2f], ErrorCode.frameEncoding)
  refused([0x40, 0x01], ErrorCode.frameEncoding)
  refused([FrameType.maxData], ErrorCode.frameEncoding)
  refused([FrameType.crypto, 0, 5, 1], ErrorCode.frameEncoding)
  refused([FrameType.newToken, 0], ErrorCode.frameEncoding)
  refused([FrameType.ack, 3, 0, 0, 4], ErrorCode.frameEncoding)
  refused([FrameType.ack, 9, 0, 1, 1, 8, 0], ErrorCode.frameEncoding)
  refused(
    [FrameType.newConnectionId, 1, 2, 1, 9, ...new Array(16).fill(0)],
    ErrorCode.frameEncoding,
  )
  refused([FrameType.newConnectionId, 1, 0, 0, ...new Array(16).fill(0)], ErrorCode.frameEncoding)
  refused([FrameType.newConnectionId, 1, 0, 21, ...new Array(37).fill(0)], ErrorCode.frameEncoding)
  refused([FrameType.stream | 7, 0, ...new Array(8).fill(0xff), 0], ErrorCode.frameEncoding)
  refused([FrameType.maxStreamsBidi, ...new Array(8).fill(0xff)], ErrorCode.frameEncoding)
  for (const type of [0x04, 0x08, 0x10, 0x1a, 0x1d, 0x1e, 0x30]) {
    refused([type, 0, 0, 0, 0, 0, 0, 0, 0, 0], ErrorCode.protocolViolation, 'initial')
  }
})

test('no bytes make the reader of frames throw, or hand out more than there is', () => {
  const random = seededRandom(5)
  for (let round = 0; round < 30_000; round++) {
    const bytes = random.bytes(1 + random.below(60))
    bytes[0] = random.below(0x32)
    const { result } = read(bytes, round % 5 ? 'application' : 'initial')
    if (typeof result !== 'number') assert.ok(result.code > 0 && result.reason.length > 0)
  }
})
