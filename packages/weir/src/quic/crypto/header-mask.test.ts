import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { test } from 'node:test'
import { toHex } from '../../codec/index.ts'
import { seededRandom } from '../../runtime/index.ts'
import { MASK_CIPHERS_MAX } from '../sizes.ts'
import { AES_128_GCM } from './aead.ts'
import { AesHeaderMask, chachaHeaderMask, maskCiphers } from './header-mask.ts'
import { packetKeys } from './packet-keys.ts'
import { blockCases, rfc } from './vectors.fixture.ts'

type Mask = (material: Uint8Array, keyAt: number, bytes: Uint8Array, offset: number) => Uint8Array

test('the ChaCha20 mask starts the key streams of RFC 8439', () => {
  const cases = blockCases()
  assert.equal(cases.length, 7)
  for (const { key, sample, start } of cases) {
    assert.equal(toHex(chachaHeaderMask(key, 0, sample, 0)), toHex(start))
  }
})

test('the masks of both suites are those of RFC 9001 appendix A', () => {
  using client = new AesHeaderMask()
  using server = new AesHeaderMask()
  for (const [mask, name] of [
    [client.mask.bind(client), 'client'],
    [server.mask.bind(server), 'server'],
    [chachaHeaderMask, 'chacha'],
  ] as const) {
    const made = mask(rfc('rfc9001', `${name}HeaderKey`), 0, rfc('rfc9001', `${name}Sample`), 0)
    assert.equal(toHex(made.slice(0, 5)), toHex(rfc('rfc9001', `${name}Mask`)))
  }
})

function agrees(
  keyBytes: number,
  make: () => Mask,
  oracle: (key: Uint8Array, sample: Uint8Array) => Buffer,
) {
  const random = seededRandom(11)
  for (let count = 0; count < 100; count++) {
    const keyAt = random.below(50)
    const material = random.bytes(keyAt + keyBytes + random.below(20))
    const mask = make()
    for (let packet = 0; packet < 4; packet++) {
      const bytes = random.bytes(40)
      const offset = random.below(25)
      const sample = bytes.subarray(offset, offset + 16)
      const expected = oracle(material.subarray(keyAt, keyAt + keyBytes), sample)
      const made = mask(material, keyAt, bytes, offset)
      assert.equal(toHex(made.slice(0, 5)), toHex(expected.subarray(0, 5)))
    }
  }
}

test('ChaCha20: masks agree with OpenSSL for random keys, samples and places', () => {
  const oracle = (key: Uint8Array, sample: Uint8Array) =>
    createCipheriv('chacha20', key, sample).update(new Uint8Array(5))
  agrees(32, () => chachaHeaderMask, oracle)
})

test('AES: masks agree with OpenSSL for random keys, samples and places', () => {
  const masks: AesHeaderMask[] = []
  const make = () => {
    const mask = new AesHeaderMask()
    masks.push(mask)
    return mask.mask.bind(mask)
  }
  const oracle = (key: Uint8Array, sample: Uint8Array) =>
    createCipheriv('aes-128-ecb', key, null).update(sample)
  agrees(16, make, oracle)
  for (const mask of masks) mask[Symbol.dispose]()
  assert.equal(maskCiphers(), 0)
})

test('keys of AES hold a cipher when they were used, a fixed number at most, and none after dispose', () => {
  const count = 3 * MASK_CIPHERS_MAX
  const sample = new Uint8Array(30)
  const all = Array.from({ length: count }, (_, seed) => {
    const keys = packetKeys(AES_128_GCM, new Uint8Array(32).fill(seed))
    assert.equal(maskCiphers(), 0, 'keys that were not used')
    return keys
  })
  // Twice, so that each one has lost its cipher once and made it again.
  const masked: string[] = []
  for (let turn = 0; turn < 2 * count; turn++) {
    const bytes = sample.slice()
    all[turn % count]!.unmask(bytes, 0, 1)
    masked.push(toHex(bytes))
    assert.equal(maskCiphers(), Math.min(turn + 1, MASK_CIPHERS_MAX))
  }
  assert.deepEqual(masked.slice(0, count), masked.slice(count))
  for (const keys of all) keys[Symbol.dispose]()
  assert.equal(maskCiphers(), 0)
})

test('who lost its cipher to another does not take it away from that one', () => {
  const bytes = new Uint8Array(30)
  const key = new Uint8Array(16)
  const first = new AesHeaderMask()
  first.mask(key, 0, bytes, 0)
  const others = Array.from({ length: MASK_CIPHERS_MAX }, () => new AesHeaderMask())
  assert.equal(first.hasCipher, true)
  for (const other of others) other.mask(key, 0, bytes, 0)
  assert.equal(first.hasCipher, false)
  first[Symbol.dispose]()
  first[Symbol.dispose]()
  assert.equal(maskCiphers(), MASK_CIPHERS_MAX)
  for (const other of others) other[Symbol.dispose]()
  assert.equal(maskCiphers(), 0)
})
