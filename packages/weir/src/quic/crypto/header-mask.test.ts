import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { test } from 'node:test'
import { toHex } from '../../codec/index.ts'
import { seededRandom } from '../../runtime/index.ts'
import { chachaKeyWords, chachaMask } from './chacha-block.ts'
import { AesHeaderMask, ChachaHeaderMask } from './header-mask.ts'
import { blockCases, rfc } from './vectors.fixture.ts'

test('the ChaCha20 mask starts the key streams of RFC 8439', () => {
  const cases = blockCases()
  assert.equal(cases.length, 7)
  const mask = new Uint8Array(5)
  for (const { key, sample, start } of cases) {
    chachaMask(mask, chachaKeyWords(key), sample, 0)
    assert.equal(toHex(mask), toHex(start))
  }
})

test('the masks of both suites are those of RFC 9001 appendix A', () => {
  const client = new AesHeaderMask(rfc('rfc9001', 'clientHeaderKey'))
  const server = new AesHeaderMask(rfc('rfc9001', 'serverHeaderKey'))
  const chacha = new ChachaHeaderMask(rfc('rfc9001', 'chachaHeaderKey'))
  for (const [mask, name] of [
    [client, 'client'],
    [server, 'server'],
    [chacha, 'chacha'],
  ] as const) {
    const bytes = mask.mask(rfc('rfc9001', `${name}Sample`), 0)
    assert.equal(toHex(bytes.slice(0, 5)), toHex(rfc('rfc9001', `${name}Mask`)))
    mask.release()
  }
})

for (const [name, algorithm, Mask, keyBytes] of [
  ['AES', 'aes-128-ecb', AesHeaderMask, 16],
  ['ChaCha20', 'chacha20', ChachaHeaderMask, 32],
] as const) {
  test(`${name}: masks agree with OpenSSL for random keys, samples and places`, () => {
    const random = seededRandom(11)
    for (let count = 0; count < 100; count++) {
      const key = random.bytes(keyBytes)
      const mask = new Mask(key)
      key.fill(0, 0, 0)
      for (let packet = 0; packet < 4; packet++) {
        const bytes = random.bytes(40)
        const offset = random.below(25)
        const sample = bytes.subarray(offset, offset + 16)
        const oracle =
          name === 'AES'
            ? createCipheriv(algorithm, key, null).update(sample)
            : createCipheriv(algorithm, key, sample).update(new Uint8Array(5))
        const made = mask.mask(bytes, offset)
        assert.equal(toHex(made.slice(0, 5)), toHex(oracle.subarray(0, 5)))
      }
      mask.release()
    }
  })

  test(`${name}: a mask lives as long as one phase holds it, and is of no use after`, () => {
    const key = new Uint8Array(keyBytes).fill(3)
    const mask = new Mask(key)
    const before = toHex(mask.mask(new Uint8Array(16), 0).slice(0, 5))
    mask.share()
    mask.release()
    key.fill(0)
    assert.equal(toHex(mask.mask(new Uint8Array(16), 0).slice(0, 5)), before)
    mask.release()
    assert.throws(() => mask.mask(new Uint8Array(16), 0), /let go/)
    assert.throws(() => mask.share(), /let go/)
  })
}
