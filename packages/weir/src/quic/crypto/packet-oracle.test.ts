import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../../codec/index.ts'
import { seededRandom } from '../../runtime/index.ts'
import type { PacketKeys } from '../contract.ts'
import { AES_128_GCM, CHACHA20_POLY1305 } from './aead.ts'
import { packetKeys } from './packet-keys.ts'
import { oracleKeys, oracleSeal } from './packet-oracle.fixture.ts'

const random = seededRandom(9001)

/** A header of either form with a packet number of 1 to 4 bytes, and the number. */
function randomHeader() {
  const numberLength = 1 + random.below(4)
  const idBytes = random.below(21)
  const long = random.below(2) === 1
  const header = random.bytes(1 + idBytes + numberLength)
  header[0] = (long ? 0xc0 : 0x40) | (header[0]! & 0x3c) | (numberLength - 1)
  // Numbers of every size that a double holds.
  const packetNumber = Math.floor(2 ** (random.below(53) + 1) * (random.below(2 ** 30) / 2 ** 30))
  for (let at = 0; at < numberLength; at++) {
    header[header.length - 1 - at] = Math.floor(packetNumber / 256 ** at)
  }
  return { header, packetNumber, numberLength }
}

function check(keys: PacketKeys, reader: PacketKeys, oracle: ReturnType<typeof oracleKeys>): void {
  const { header, packetNumber, numberLength } = randomHeader()
  const payload = random.bytes(4 + random.below(random.below(4) === 0 ? 3000 : 100))
  const expected = oracleSeal(oracle, header, payload, BigInt(packetNumber))
  const start = random.below(40)
  const buffer = random.bytes(start + expected.length + random.below(30))
  const around = buffer.slice()
  const headerEnd = start + header.length
  buffer.set(header, start)
  buffer.set(payload, headerEnd)
  const plainEnd = headerEnd + payload.length
  const end = keys.seal(buffer, start, headerEnd, plainEnd, packetNumber, numberLength)
  assert.equal(end, start + expected.length)
  assert.equal(toHex(buffer.subarray(start, end)), toHex(expected))
  assert.deepEqual(buffer.slice(0, start), around.slice(0, start))
  assert.deepEqual(buffer.slice(end), around.slice(end))
  assert.equal(reader.unmask(buffer, start, headerEnd - numberLength), numberLength)
  assert.deepEqual(buffer.slice(start, headerEnd), header)
  assert.equal(reader.open(buffer, start, headerEnd, end, packetNumber), plainEnd)
  assert.deepEqual(buffer.slice(headerEnd, plainEnd), payload)
}

for (const [name, suite] of [
  ['AES', AES_128_GCM],
  ['ChaCha20', CHACHA20_POLY1305],
] as const) {
  test(`${name}: random packets anywhere in a buffer are sealed as the plain reading of the RFC does`, () => {
    for (let count = 0; count < 60; count++) {
      const secret = random.bytes(32)
      using writer = packetKeys(suite, secret)
      using reader = packetKeys(suite, secret)
      const oracle = oracleKeys(suite, secret)
      for (let packet = 0; packet < 10; packet++) check(writer, reader, oracle)
    }
  })

  test(`${name}: twenty key updates in a row, of which each is the RFC's, with one header key`, () => {
    const secret = random.bytes(32)
    let writer = packetKeys(suite, secret)
    let reader = packetKeys(suite, secret)
    for (let phase = 0; phase < 20; phase++) {
      for (let packet = 0; packet < 5; packet++) {
        check(writer, reader, oracleKeys(suite, secret, phase))
      }
      writer = advance(writer)
      reader = advance(reader)
    }
    writer[Symbol.dispose]()
    reader[Symbol.dispose]()
  })

  test(`${name}: the phase before and the phase after do not open a packet`, () => {
    const secret = random.bytes(32)
    using first = packetKeys(suite, secret)
    using second = first.next()
    using third = second.next()
    const bytes = new Uint8Array(60)
    bytes[0] = 0x43
    second.seal(bytes, 0, 5, 44, 0, 4)
    assert.equal(first.unmask(bytes, 0, 1), 4)
    assert.equal(first.open(bytes, 0, 5, 60, 0), -1)
    assert.equal(third.open(bytes, 0, 5, 60, 0), -1)
    assert.equal(second.open(bytes, 0, 5, 60, 0), 44)
  })
}

function advance(keys: PacketKeys): PacketKeys {
  const next = keys.next()
  keys[Symbol.dispose]()
  return next
}

test('the keys of one suite do not open packets of the other', () => {
  const secret = new Uint8Array(32).fill(1)
  using aes = packetKeys(AES_128_GCM, secret)
  using chacha = packetKeys(CHACHA20_POLY1305, secret)
  const bytes = new Uint8Array(60)
  aes.seal(bytes, 0, 5, 44, 0, 4)
  assert.equal(chacha.open(bytes, 0, 5, 60, 0), -1)
})
