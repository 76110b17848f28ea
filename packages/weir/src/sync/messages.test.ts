import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { bytes, text, vectorsOf } from '../../vectors/load.ts'
import { FrameReader, toHex } from '../codec/index.ts'
import { logIdFromHex, nodeIdFromHex, topicIdFromHex } from '../core/index.ts'
import { isWeirError } from '../runtime/index.ts'
import { DEFAULT_SYNC_LIMITS } from './limits.ts'
import {
  decodeHandshake,
  decodeSync,
  encodeClose,
  encodeDone,
  encodeHandshake,
  encodeHave,
  encodeOperations,
  encodePreSync,
  type Height,
  type SyncMessage,
} from './messages.ts'

const OPTIONS = { heightsMax: 256 }

/** What is different on purpose, each with its reason. */
const EXCEPTIONS: { readonly [name: string]: string } = {
  'have-integer-log': 'log ids are 32 bytes here; numbers are only in examples of upstream',
  'overlong-height': 'over-long varints are refused: equal messages have equal bytes',
  'max-frame-head': 'frames above our cap are refused by their length',
}

function encoded(message: SyncMessage): Uint8Array {
  switch (message.type) {
    case 'have':
      return encodeHave(message.heights)
    case 'pre-sync':
      return encodePreSync(message.operations, message.bytes)
    case 'done':
      return encodeDone()
    case 'close':
      return encodeClose()
    default:
      return encodeOperations([message], message.type === 'live')
  }
}

function heightsOf(value: unknown): Height[] {
  const heights: Height[] = []
  for (const [author, logs] of Object.entries(value as object)) {
    for (const [log, height] of Object.entries(logs as object)) {
      heights.push({ author: nodeIdFromHex(author), logId: logIdFromHex(log), height })
    }
  }
  return heights
}

for (const { name, input, output } of vectorsOf('log-sync')) {
  test(`log-sync: ${name}${EXCEPTIONS[name] ? ` (${EXCEPTIONS[name]})` : ''}`, () => {
    const frame = bytes(output['frame'])
    const payload = frame.subarray(4)
    if (name.startsWith('handshake')) {
      const message = decodeHandshake(payload)
      assert.equal(toHex(encodeHandshake(message)), toHex(frame))
      if (message.type === 'topic') {
        assert.deepEqual(message.topic, topicIdFromHex(text(input, 'topic')))
      }
      return
    }
    if (EXCEPTIONS[name]) {
      assert.throws(() => decodeSync(payload, OPTIONS), { code: /^DECODE_/ })
      return
    }
    const message = decodeSync(payload, OPTIONS)
    assert.equal(toHex(encoded(message)), toHex(frame))
    if (name === 'have') {
      assert.ok(message.type === 'have')
      assert.deepEqual(message.heights, heightsOf(input['heights']))
    }
    if (message.type === 'operation' || message.type === 'live') {
      assert.equal(toHex(message.header), text(input, 'header'))
      const body = input['body'] ? toHex(bytes(input['body'])) : null
      assert.equal(message.body ? toHex(message.body) : null, body)
    }
  })
}

for (const { name, input, output } of vectorsOf('log-sync-decode')) {
  test(`log-sync-decode: ${name}${EXCEPTIONS[name] ? ` (${EXCEPTIONS[name]})` : ''}`, () => {
    const [verdict] = output['result'] as string[]
    const outcome = readFrame(bytes(input['bytes']))
    if (EXCEPTIONS[name]) assert.match(outcome, /^error/)
    else if (/^error/.test(verdict!)) assert.match(outcome, /^error/)
    else if (/^waits/.test(verdict!)) assert.equal(outcome, 'waits')
    else assert.equal(outcome, /-> ([0-9a-f]+)$/.exec(verdict!)?.[1])
  })
}

function readFrame(given: Uint8Array): string {
  const reader = new FrameReader({ frameBytesMax: DEFAULT_SYNC_LIMITS.frameBytesMax })
  try {
    reader.push(given)
    const frame = reader.next()
    return frame ? toHex(encoded(decodeSync(frame, OPTIONS))) : 'waits'
  } catch (error) {
    assert.ok(isWeirError(error), String(error))
    return `error ${error.code}`
  }
}

test('a live message of p2panda 0.7.0 is told apart from one of 0.7.1', () => {
  for (let count = 5; count <= 8; count++) {
    const old = Uint8Array.of(1, count, 1, 0x20, ...new Array(200).fill(7))
    assert.throws(() => decodeSync(old, OPTIONS), { code: 'INCOMPATIBLE_PEER' })
  }
  const [header] = vectorsOf('log-sync').filter(({ name }) => name === 'live-genesis')
  const frame = bytes(header!.output['frame']).subarray(4)
  assert.equal(decodeSync(frame, OPTIONS).type, 'live')
})

test('a Have with more heights than allowed is refused before memory is held for it', () => {
  const author = nodeIdFromHex('b80887584d1425a5e994326647627d6f5937447db80d251041eb625106680975')
  const heights = Array.from({ length: 5 }, (_, at) => ({
    author,
    logId: new Uint8Array(32).fill(at) as never,
    height: at,
  }))
  const frame = encodeHave(heights).subarray(4)
  assert.equal(decodeSync(frame, { heightsMax: 5 }).type, 'have')
  assert.throws(() => decodeSync(frame, { heightsMax: 4 }), { code: 'DECODE_LIMIT' })
})

test('any bytes either decode to a message or fail with a code', () => {
  const start = fc.constantFrom([0, 0], [0, 1], [0, 2], [0, 3], [1], [2], [], [0, 0, 1, 0x20])
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 120 }), (head, rest) => {
      const frame = Uint8Array.of(...head, ...rest)
      for (const decode of [() => decodeSync(frame, OPTIONS), () => decodeHandshake(frame)]) {
        try {
          decode()
        } catch (error) {
          assert.ok(isWeirError(error), String(error))
        }
      }
    }),
    { numRuns: 5_000 },
  )
})
