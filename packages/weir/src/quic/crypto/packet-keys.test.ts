import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatBytes, toHex } from '../../codec/index.ts'
import { seededRandom } from '../../runtime/index.ts'
import type { PacketKeys, Suite } from '../contract.ts'
import { AES_128_GCM, CHACHA20_POLY1305 } from './aead.ts'
import { initialKeys, levelKeys } from './initial-keys.ts'
import { aeadLimits, packetKeys } from './packet-keys.ts'
import { rfc, rfcNumber } from './vectors.fixture.ts'

const suites: readonly Suite[] = [AES_128_GCM, CHACHA20_POLY1305]
const secret = new Uint8Array(32).fill(7)

/** A packet before it is sealed, with room for the tag. */
function packet(header: Uint8Array, payload: Uint8Array): Uint8Array {
  return concatBytes(header, payload, new Uint8Array(16))
}

/** Unmasks and opens a packet of which the number is known. */
function read(keys: PacketKeys, bytes: Uint8Array, numberAt: number, number: number) {
  const length = keys.unmask(bytes, 0, numberAt)
  const end = keys.open(bytes, 0, numberAt + length, bytes.length, number)
  return { length, payload: end < 0 ? undefined : bytes.slice(numberAt + length, end) }
}

test('seals and opens the Initial packet of the client as RFC 9001 A.2 shows it', () => {
  const id = rfc('rfc9001', 'id')
  const payload = new Uint8Array(rfcNumber('rfc9001', 'clientPayloadBytes'))
  payload.set(rfc('rfc9001', 'clientCrypto'))
  const header = rfc('rfc9001', 'clientHeader')
  const bytes = packet(header, payload)
  using client = initialKeys(id, 'client').write
  const end = client.seal(bytes, 0, header.length, header.length + payload.length, 2, 4)
  assert.equal(end, bytes.length)
  assert.equal(toHex(bytes), toHex(rfc('rfc9001', 'clientPacket')))
  using server = initialKeys(id, 'server').read
  assert.deepEqual(read(server, bytes, 18, 2), { length: 4, payload })
  assert.deepEqual(bytes.slice(0, header.length), header)
})

test('seals and opens the Initial packet of the server as RFC 9001 A.3 shows it', () => {
  const id = rfc('rfc9001', 'id')
  const payload = rfc('rfc9001', 'serverPayload')
  const header = rfc('rfc9001', 'serverHeader')
  const bytes = packet(header, payload)
  using server = initialKeys(id, 'server').write
  server.seal(bytes, 0, header.length, header.length + payload.length, 1, 2)
  assert.equal(toHex(bytes), toHex(rfc('rfc9001', 'serverPacket')))
  using client = initialKeys(id, 'client').read
  assert.deepEqual(read(client, bytes, 18, 1), { length: 2, payload })
})

test('seals and opens the short packet with ChaCha20 as RFC 9001 A.5 shows it', () => {
  using keys = packetKeys(CHACHA20_POLY1305, rfc('rfc9001', 'chachaSecret'))
  const number = rfcNumber('rfc9001', 'chachaPacketNumber')
  const bytes = packet(rfc('rfc9001', 'chachaHeader'), rfc('rfc9001', 'chachaPayload'))
  keys.seal(bytes, 0, 4, 5, number, 3)
  assert.equal(toHex(bytes), toHex(rfc('rfc9001', 'chachaPacket')))
  assert.deepEqual(read(keys, bytes, 1, number), { length: 3, payload: Uint8Array.of(1) })
})

test('the next phase has the secret of RFC 9001 A.5 and the same header protection', () => {
  using keys = packetKeys(CHACHA20_POLY1305, rfc('rfc9001', 'chachaSecret'))
  using next = keys.next()
  using expected = packetKeys(CHACHA20_POLY1305, rfc('rfc9001', 'chachaNextSecret'))
  const header = rfc('rfc9001', 'chachaHeader')
  const bytes = packet(header, new Uint8Array(50))
  next.seal(bytes, 0, 4, 54, 9, 3)
  assert.equal(keys.unmask(bytes, 0, 1), 3)
  assert.deepEqual(bytes.slice(0, 4), header)
  assert.equal(expected.open(bytes, 0, 4, bytes.length, 9), 54)
})

for (const suite of suites) {
  const name = suite === AES_128_GCM ? 'AES' : 'ChaCha20'

  test(`${name}: phases outlive the keys they were derived from`, () => {
    const first = packetKeys(suite, secret)
    const second = first.next()
    first[Symbol.dispose]()
    using third = second.next()
    second[Symbol.dispose]()
    second[Symbol.dispose]()
    const bytes = packet(Uint8Array.of(0x41, 1, 2), new Uint8Array(30))
    third.seal(bytes, 0, 3, 33, 0x102, 2)
    assert.deepEqual(read(third, bytes, 1, 0x102).payload, new Uint8Array(30))
  })

  test(`${name}: both directions of a level fit together`, () => {
    const other = new Uint8Array(32).fill(8)
    const ours = levelKeys({ suite, read: secret, write: other })
    const theirs = levelKeys({ suite, read: other, write: secret })
    for (const [from, to] of [
      [ours.write, theirs.read],
      [theirs.write, ours.read],
    ] as const) {
      const bytes = packet(Uint8Array.of(0x40, 5), Uint8Array.of(1, 2, 3))
      from.seal(bytes, 0, 2, 5, 5, 1)
      assert.deepEqual(read(to, bytes, 1, 5).payload, Uint8Array.of(1, 2, 3))
    }
  })

  test(`${name}: a packet that was changed anywhere is not opened and not touched`, () => {
    using keys = packetKeys(suite, secret)
    const sealed = packet(Uint8Array.of(0x42, 0, 0, 1), new Uint8Array(20).fill(9))
    keys.seal(sealed, 0, 4, 24, 1, 3)
    const open = sealed.slice()
    assert.equal(keys.unmask(open, 0, 1), 3)
    for (let bit = 0; bit < 8 * open.length; bit++) {
      const forged = open.slice()
      forged[bit >>> 3]! ^= 1 << (bit & 7)
      const before = forged.slice()
      assert.equal(keys.open(forged, 0, 4, forged.length, 1), -1)
      assert.deepEqual(forged, before)
    }
    for (const other of [0, 2, 257, 2 ** 32 + 1, 2 ** 52 + 1]) {
      assert.equal(keys.open(open, 0, 4, open.length, other), -1, 'another packet number')
    }
    assert.equal(keys.open(open, 0, 4, open.length, 1), 24)
  })

  test(`${name}: a packet that was changed on the way is never taken for another`, () => {
    using keys = packetKeys(suite, secret)
    const sealed = packet(Uint8Array.of(0x42, 0, 0, 1), new Uint8Array(20).fill(9))
    keys.seal(sealed, 0, 4, 24, 1, 3)
    for (let bit = 0; bit < 8 * sealed.length; bit++) {
      const forged = sealed.slice()
      forged[bit >>> 3]! ^= 1 << (bit & 7)
      assert.equal(read(keys, forged, 1, 1).payload, undefined, `bit ${bit}`)
    }
  })

  test(`${name}: packets anywhere in a buffer, of every length, with numbers of all sizes`, () => {
    using keys = packetKeys(suite, secret)
    const random = seededRandom(4)
    const numbers = [0, 1, 255, 2 ** 16, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 7, 2 ** 53 - 1]
    for (let length = 3; length < 40; length++) {
      const number = numbers[length % numbers.length]!
      const payload = random.bytes(length)
      const start = random.below(50)
      const buffer = new Uint8Array(start + 1 + 2 + length + 16 + random.below(9))
      const outside = buffer.slice()
      buffer[start] = 0x41
      buffer[start + 1] = number / 256
      buffer[start + 2] = number
      buffer.set(payload, start + 3)
      const end = keys.seal(buffer, start, start + 3, start + 3 + length, number, 2)
      assert.equal(end, start + 3 + length + 16)
      assert.equal(keys.unmask(buffer, start, start + 1), 2)
      assert.equal(keys.open(buffer, start, start + 3, end, number), end - 16)
      assert.deepEqual(buffer.slice(start + 3, end - 16), payload)
      assert.deepEqual(buffer.slice(0, start), outside.slice(0, start))
      assert.deepEqual(buffer.slice(end), outside.slice(end))
    }
  })

  test(`${name}: what is too short for a sample or a tag is refused`, () => {
    using keys = packetKeys(suite, secret)
    const short = new Uint8Array(20)
    assert.equal(keys.unmask(short, 0, 1), -1)
    assert.deepEqual(short, new Uint8Array(20))
    assert.notEqual(keys.unmask(new Uint8Array(21), 0, 1), -1)
    for (let end = 0; end < 10 + 16; end++) {
      assert.equal(keys.open(new Uint8Array(30), 0, 10, end, 0), -1)
    }
    const sealed = packet(Uint8Array.of(0x40, 1), new Uint8Array(9))
    keys.seal(sealed, 0, 2, 11, 1, 1)
    keys.unmask(sealed, 0, 1)
    for (let length = 0; length < sealed.length; length++) {
      const cut = sealed.slice(0, length)
      assert.equal(
        keys.open(cut, 0, 2, sealed.length, 1),
        -1,
        'a packet that ends after its buffer',
      )
    }
    assert.throws(() => keys.seal(new Uint8Array(40), 0, 2, 4, 0, 1), /too short/)
    assert.throws(() => keys.seal(new Uint8Array(20), 0, 2, 5, 0, 1), /room/)
    for (const number of [2 ** 53, -1, 0.5, Number.NaN]) {
      assert.throws(() => keys.seal(new Uint8Array(40), 0, 2, 5, number, 1), /packet number/)
    }
  })

  test(`${name}: the least payload that each number length allows, none with four bytes`, () => {
    using keys = packetKeys(suite, secret)
    for (let length = 1; length <= 4; length++) {
      const header = new Uint8Array(1 + length)
      header[0] = 0x40 | (length - 1)
      const payload = new Uint8Array(4 - length).fill(0xa5)
      const bytes = packet(header, payload)
      assert.equal(keys.seal(bytes, 0, header.length, 5, 0, length), 21)
      assert.deepEqual(read(keys, bytes, 1, 0), { length, payload })
    }
  })

  test(`${name}: a packet as long as a datagram can be`, () => {
    using keys = packetKeys(suite, secret)
    const payload = new Uint8Array(65_507 - 4 - 16).fill(0x5a)
    const bytes = packet(Uint8Array.of(0x42, 0, 0, 7), payload)
    assert.equal(keys.seal(bytes, 0, 4, bytes.length - 16, 7, 3), 65_507)
    assert.deepEqual(read(keys, bytes, 1, 7), { length: 3, payload })
  })

  test(`${name}: a secret is copied, and one of another length is a mistake`, () => {
    const own = new Uint8Array(32).fill(7)
    using keys = packetKeys(suite, own)
    own.fill(0)
    using same = packetKeys(suite, secret)
    using next = keys.next()
    using sameNext = same.next()
    for (const [a, b] of [
      [keys, same],
      [next, sameNext],
    ] as const) {
      const bytes = packet(Uint8Array.of(0x40, 1), new Uint8Array(9))
      a.seal(bytes, 0, 2, 11, 1, 1)
      assert.deepEqual(read(b, bytes, 1, 1).payload, new Uint8Array(9))
    }
    assert.throws(() => packetKeys(suite, new Uint8Array(31)), /32 bytes/)
  })

  test(`${name}: after dispose nothing works, because a zeroed key must not seal`, () => {
    const keys = packetKeys(suite, secret)
    keys[Symbol.dispose]()
    assert.throws(() => keys.seal(new Uint8Array(40), 0, 2, 5, 0, 1), /after dispose/)
    assert.throws(() => keys.open(new Uint8Array(40), 0, 2, 40, 0), /after dispose/)
    assert.throws(() => keys.unmask(new Uint8Array(40), 0, 1), /after dispose/)
    assert.throws(() => keys.next(), /after dispose/)
  })
}

test('the limits are those of RFC 9001 section 6.6', () => {
  assert.deepEqual(aeadLimits(AES_128_GCM), { sealedMax: 2 ** 23, forgedMax: 2 ** 52 })
  const limits = aeadLimits(CHACHA20_POLY1305)
  assert.deepEqual(limits, { sealedMax: Number.POSITIVE_INFINITY, forgedMax: 2 ** 36 })
})

test('keys of the next phase are the same whether they were derived ahead, and when', () => {
  for (const suite of suites) {
    const sealed = (keys: PacketKeys): string => {
      const bytes = packet(Uint8Array.of(0x43, 1, 2, 3, 4), new Uint8Array(30).fill(5))
      keys.seal(bytes, 0, 5, 35, 0x0102_0304, 4)
      return toHex(bytes)
    }
    const plain = packetKeys(suite, secret)
    const ahead = packetKeys(suite, secret, true)
    const opened = packetKeys(suite, secret, true)
    const bytes = Uint8Array.from(Buffer.from(sealed(plain), 'hex'))
    assert.ok(read(opened, bytes, 1, 0x0102_0304).payload)
    for (let phase = 0, all = [plain, ahead, opened]; phase < 3; phase++) {
      const [first, ...others] = all.map(sealed)
      for (const other of others) assert.equal(other, first)
      all = all.map((keys) => keys.next())
    }
  }
})
