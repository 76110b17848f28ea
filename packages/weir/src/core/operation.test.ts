import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeCbor, fromHex, toHex } from '../codec/index.ts'
import { isWeirError, seededRandom } from '../runtime/index.ts'
import {
  blake3,
  buildHeader,
  checkBacklink,
  checkOperation,
  checkPrunableBacklink,
  decodeHeader,
  decodeNodeExtensions,
  decodeVerifiedHeader,
  encodeNodeExtensions,
  HEADER_LIMITS,
  type Header,
  hashId,
  KeyPair,
  logId,
  SEQ_MAX,
  topicId,
  topicLogId,
  verifyHeader,
  verifySignature,
  zoneLogId,
} from './index.ts'

const random = seededRandom(23)
const verifier = { verify: verifySignature }
const key = KeyPair.generate(random)
const body = random.bytes(700)
const log = topicLogId(topicId(random.bytes(32)))

function nodeHeader(seq: number, past?: Header, prune = false, author = key): Header {
  const extensions = encodeNodeExtensions({ logId: log, timestampMicros: 1_000_000 + seq, prune })
  const backlink = seq === 0 ? undefined : (past?.id ?? hashId(random.bytes(32)))
  return buildHeader(author, { seq, backlink, body, extensions })
}

function code(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (isWeirError(error)) return error.code
    throw error
  }
  return 'none'
}

test('a built header decodes to its fields and verifies', () => {
  const first = nodeHeader(0)
  const second = decodeVerifiedHeader(nodeHeader(1, first).bytes, verifier)
  assert.equal(second.seq, 1)
  assert.deepEqual(second.author, key.id)
  assert.deepEqual(second.backlink, first.id)
  assert.deepEqual(second.payloadHash, blake3(body))
  assert.equal(second.payloadSize, body.length)
  assert.deepEqual(second.id, blake3(second.bytes))
  assert.equal(first.backlink, undefined)
  assert.equal(decodeNodeExtensions(second.extensions).timestampMicros, 1_000_001)
})

test('a decoded header shares no memory with the input', () => {
  const input = Buffer.from(nodeHeader(0).bytes)
  const header = decodeHeader(input)
  const before = toHex(header.bytes)
  input.fill(0)
  assert.equal(toHex(header.bytes), before)
  assert.equal(header.bytes.buffer.byteLength, header.bytes.length)
})

test('every changed bit is refused', () => {
  const { bytes } = nodeHeader(7)
  for (let at = 0; at < bytes.length; at++) {
    const changed = bytes.slice()
    changed[at]! ^= 1 << (at % 8)
    const found = code(() => decodeVerifiedHeader(changed, verifier))
    assert.match(found, /^(DECODE_\w+|HEADER_VERSION|SIGNATURE_MISMATCH)$/, `bit in byte ${at}`)
  }
  for (let end = 0; end < bytes.length; end++) {
    assert.equal(
      code(() => decodeHeader(bytes.subarray(0, end))),
      'DECODE_TRUNCATED',
    )
  }
  assert.equal(
    code(() => decodeHeader(Uint8Array.of(...bytes, 0))),
    'DECODE_TRAILING',
  )
})

test('a tag before the array is refused: the operation would have a second id', () => {
  const tagged = Uint8Array.of(0xd9, 0xd9, 0xf7, ...nodeHeader(0).bytes)
  assert.equal(
    code(() => decodeHeader(tagged)),
    'DECODE_MALFORMED',
  )
})

test('random bytes and changed headers end in a code', () => {
  const { bytes } = nodeHeader(3)
  for (let count = 0; count < 20_000; count++) {
    const changed = count % 4 === 0 ? random.bytes(random.below(300)) : bytes.slice()
    for (let left = random.below(4); left > 0 && changed.length > 0; left--) {
      changed[random.below(changed.length)] = random.below(256)
    }
    const found = code(() => {
      const header = decodeHeader(changed)
      assert.deepEqual(header.bytes, changed)
      decodeNodeExtensions(header.extensions)
    })
    assert.match(found, /^(none|DECODE_\w+|HEADER_VERSION|EXTENSIONS_UNSUPPORTED)$/)
  }
})

test('extensions are kept as they came, within the limits of a header', () => {
  // A sixth element, of a later minor format.
  const kept = encodeCbor([1, 0, log, 10, true, 'later'])
  const header = buildHeader(key, { seq: 0, extensions: kept })
  assert.deepEqual(header.extensions, kept)
  assert.equal(decodeNodeExtensions(header.extensions).prune, true)
  const build = (extensions: Uint8Array) => code(() => buildHeader(key, { seq: 0, extensions }))
  assert.equal(build(encodeCbor(new Uint8Array(512))), 'none')
  assert.equal(build(encodeCbor(new Uint8Array(513))), 'DECODE_LIMIT')
  assert.equal(build(fromHex(`${'81'.repeat(63)}01`)), 'none')
  assert.equal(build(fromHex(`${'81'.repeat(64)}01`)), 'DECODE_LIMIT')
  const many = (rows: number) => encodeCbor(Array.from({ length: rows }, () => new Uint8Array(505)))
  assert.equal(build(many(120)), 'none')
  assert.equal(build(many(Math.ceil(HEADER_LIMITS.bytesMax / 508))), 'DECODE_LIMIT')
  assert.equal(build(fromHex('0101')), 'DECODE_TRAILING')
  assert.equal(build(new Uint8Array()), 'DECODE_TRUNCATED')
})

test('node extensions of another version or variant are told from broken ones', () => {
  const decode = (...elements: unknown[]) =>
    code(() => decodeNodeExtensions(encodeCbor(elements as never)))
  assert.equal(decode(1, 0, log, 1, false), 'none')
  assert.equal(decode(1, 1, log, 1, [random.bytes(32)]), 'none')
  assert.equal(decode(2, 0, log, 1, false), 'EXTENSIONS_UNSUPPORTED')
  assert.equal(decode(1, 2, log, 1, false), 'EXTENSIONS_UNSUPPORTED')
  assert.equal(decode(1, 0, log, 1), 'DECODE_MALFORMED')
  assert.equal(decode(1, 0, log, -1, false), 'DECODE_MALFORMED')
  assert.equal(decode(1, 1, log, 1, [random.bytes(31)]), 'DECODE_MALFORMED')
  assert.equal(
    code(() => decodeNodeExtensions(undefined)),
    'DECODE_MALFORMED',
  )
})

test('what a header cannot say is refused before it is signed', () => {
  const backlink = hashId(random.bytes(32))
  assert.equal(
    code(() => buildHeader(key, { seq: SEQ_MAX, backlink })),
    'none',
  )
  assert.equal(
    code(() => buildHeader(key, { seq: SEQ_MAX + 1, backlink })),
    'LOG_FULL',
  )
  assert.equal(
    code(() => buildHeader(key, { seq: 0, body: new Uint8Array() })),
    'BODY_EMPTY',
  )
  assert.throws(() => buildHeader(key, { seq: 0, backlink }), { name: 'AssertionError' })
  assert.throws(() => buildHeader(key, { seq: 1 }), { name: 'AssertionError' })
})

test('an operation is its header, its signature and its body', () => {
  const header = nodeHeader(0)
  assert.equal(checkOperation({ header, body }, verifier), 'ok')
  assert.equal(checkOperation({ header, body: undefined }, verifier), 'ok')
  assert.equal(checkOperation({ header, body: body.subarray(1) }, verifier), 'PAYLOAD_MISMATCH')
  const other = body.map((byte) => byte ^ 1)
  assert.equal(checkOperation({ header, body: other }, verifier), 'PAYLOAD_MISMATCH')
  const bytes = header.bytes.slice()
  bytes[60]! ^= 1
  const forged = decodeHeader(bytes)
  assert.equal(verifyHeader(forged, verifier), false)
  assert.equal(checkOperation({ header: forged, body }, verifier), 'SIGNATURE_MISMATCH')
})

test('the next operation follows the head, and nothing else does', () => {
  const head = nodeHeader(0)
  assert.equal(checkBacklink(head, nodeHeader(1, head)), 'ok')
  assert.equal(checkBacklink(head, nodeHeader(1)), 'BACKLINK_MISMATCH')
  assert.equal(checkBacklink(head, nodeHeader(2, head)), 'SEQ_NOT_NEXT')
  assert.equal(checkBacklink(head, nodeHeader(0)), 'SEQ_NOT_NEXT')
  const stranger = KeyPair.generate(random)
  assert.equal(checkBacklink(head, nodeHeader(1, head, false, stranger)), 'AUTHOR_MISMATCH')
})

test('a prune flag needs nothing before it, and does not reach behind the head', () => {
  const head = nodeHeader(5)
  const check = (past: Header | undefined, header: Header, prune: boolean) =>
    checkPrunableBacklink(past, header, prune)
  assert.equal(check(undefined, nodeHeader(0), false), 'ok')
  assert.equal(check(undefined, nodeHeader(9), false), 'BACKLINK_MISSING')
  assert.equal(check(undefined, nodeHeader(9), true), 'ok')
  assert.equal(check(head, nodeHeader(6, head), false), 'ok')
  assert.equal(check(head, nodeHeader(9), false), 'SEQ_NOT_NEXT')
  assert.equal(check(head, nodeHeader(9), true), 'ok')
  assert.equal(check(head, nodeHeader(5), true), 'SEQ_BEHIND_HEAD')
  assert.equal(check(head, nodeHeader(3), true), 'SEQ_BEHIND_HEAD')
  assert.equal(check(head, nodeHeader(0), true), 'SEQ_NOT_NEXT')
  const stranger = KeyPair.generate(random)
  assert.equal(check(head, nodeHeader(9, undefined, true, stranger), true), 'AUTHOR_MISMATCH')
})

test('a log id of a zone depends on each of its parts, and on nothing else', () => {
  const topic = topicId(new Uint8Array(32).fill(1))
  const ids = [
    zoneLogId(topic, 'zone-a', 1),
    zoneLogId(topic, 'zone-a', 2),
    zoneLogId(topic, 'zone-b', 1),
    zoneLogId(topicId(new Uint8Array(32).fill(2)), 'zone-a', 1),
  ]
  assert.equal(new Set(ids.map((id) => toHex(id))).size, 4)
  const spelled = Uint8Array.from([
    ...topic,
    6,
    ...Buffer.from('zone-a'),
    ...[0, 0, 0, 0, 0, 0, 0, 1],
  ])
  assert.deepEqual(zoneLogId(topic, 'zone-a', 1n), logId(blake3(spelled)))
  assert.throws(() => zoneLogId(topic, '', 1), { name: 'AssertionError' })
})
