import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../../codec/index.ts'
import { expandLabel, hkdfExpand, hkdfExtract, sha256 } from './hkdf.ts'
import { extractCases, rfc } from './vectors.fixture.ts'

test('HKDF gives what RFC 5869 appendix A shows for SHA-256', () => {
  const cases = extractCases()
  assert.equal(cases.length, 3)
  for (const { salt, secret, info, extracted, expanded } of cases) {
    const key = hkdfExtract(salt, secret)
    assert.equal(toHex(key), toHex(extracted))
    assert.equal(toHex(hkdfExpand(key, info, expanded.length)), toHex(expanded))
  }
})

test('a long output starts with the short ones', () => {
  const long = hkdfExpand(new Uint8Array(32), new Uint8Array(3), 100)
  for (const length of [0, 1, 31, 32, 33, 64, 99]) {
    const short = hkdfExpand(new Uint8Array(32), new Uint8Array(3), length)
    assert.deepEqual(short, long.slice(0, length))
  }
  assert.throws(() => hkdfExpand(new Uint8Array(32), new Uint8Array(0), 255 * 32 + 1), /255/)
  assert.equal(hkdfExpand(new Uint8Array(32), new Uint8Array(0), 255 * 32).length, 255 * 32)
})

test('labels give every key of RFC 9001 appendix A', () => {
  const initial = hkdfExtract(rfc('rfc9001', 'initialSalt'), rfc('rfc9001', 'id'))
  assert.equal(toHex(initial), toHex(rfc('rfc9001', 'initialSecret')))
  const known: [secret: Uint8Array, label: string, name: string][] = [
    [initial, 'client in', 'clientSecret'],
    [initial, 'server in', 'serverSecret'],
  ]
  for (const side of ['client', 'server', 'chacha']) {
    const secret = rfc('rfc9001', `${side}Secret`)
    known.push([secret, 'quic key', `${side}Key`])
    known.push([secret, 'quic iv', `${side}Iv`])
    known.push([secret, 'quic hp', `${side}HeaderKey`])
  }
  known.push([rfc('rfc9001', 'chachaSecret'), 'quic ku', 'chachaNextSecret'])
  known.push([rfc('rfc9001', 'retrySecret'), 'quic key', 'retryKey'])
  known.push([rfc('rfc9001', 'retrySecret'), 'quic iv', 'retryNonce'])
  for (const [secret, label, name] of known) {
    const expected = rfc('rfc9001', name)
    assert.equal(toHex(expandLabel(secret, label, expected.length)), toHex(expected), name)
  }
})

test('labels with a context give the secrets of RFC 8448 section 3', () => {
  const early = rfc('rfc8448', 'early')
  const derived = expandLabel(early, 'derived', 32, sha256(new Uint8Array(0)))
  assert.equal(toHex(derived), toHex(rfc('rfc8448', 'earlyDerived')))
  const handshake = hkdfExtract(derived, rfc('rfc8448', 'shared'))
  assert.equal(toHex(handshake), toHex(rfc('rfc8448', 'handshake')))
  const hash = rfc('rfc8448', 'helloHash')
  const client = expandLabel(handshake, 'c hs traffic', 32, hash)
  assert.equal(toHex(client), toHex(rfc('rfc8448', 'clientHandshake')))
})
