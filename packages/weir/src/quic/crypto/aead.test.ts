import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatBytes, toHex } from '../../codec/index.ts'
import type { Suite } from '../contract.ts'
import { TAG_BYTES } from '../packet/header.ts'
import { AES_128_GCM, CHACHA20_POLY1305, openInPlace, sealInPlace } from './aead.ts'
import { type AeadCase, chachaCases, gcmCases } from './vectors.fixture.ts'

/** A case in a buffer that has other bytes on both sides. */
function laid({ associated, sealed }: AeadCase, body: Uint8Array) {
  const before = Uint8Array.of(0xaa, 0xbb, 0xcc)
  const after = Uint8Array.of(0xdd, 0xee)
  const room = new Uint8Array(sealed.length - body.length)
  const bytes = concatBytes(before, associated, body, room, after)
  const start = before.length
  const plainAt = start + associated.length
  return { bytes, start, plainAt, plainEnd: plainAt + sealed.length - TAG_BYTES }
}

for (const [name, suite, cases] of [
  ['ChaCha20-Poly1305 of RFC 8439', CHACHA20_POLY1305, chachaCases()],
  ['AES-128-GCM of its specification', AES_128_GCM, gcmCases()],
] as const) {
  test(`${name}: the vectors are sealed and opened in place, and nothing beside them changes`, () => {
    assert.ok(cases.length > 0)
    for (const known of cases) {
      const { key, nonce } = known
      const { bytes, start, plainAt, plainEnd } = laid(known, known.plain)
      const expected = laid(known, known.sealed).bytes
      const plain = bytes.slice(0, plainEnd)
      sealInPlace(suite, key, 0, nonce, bytes, start, plainAt, plainEnd)
      assert.equal(toHex(bytes), toHex(expected))
      assert.equal(openInPlace(suite, key, 0, nonce, bytes, start, plainAt, plainEnd), true)
      assert.equal(toHex(bytes.subarray(0, plainEnd)), toHex(plain))
    }
  })

  test(`${name}: a flipped bit anywhere, in key or nonce too, opens nothing and changes nothing`, () => {
    const known = cases[0]!
    const { bytes, start, plainAt, plainEnd } = laid(known, known.sealed)
    const refused = (key: Uint8Array, nonce: Uint8Array, forged: Uint8Array) => {
      const before = toHex(forged)
      assert.equal(openInPlace(suite, key, 0, nonce, forged, start, plainAt, plainEnd), false)
      assert.equal(toHex(forged), before)
    }
    for (let at = start; at < plainEnd + TAG_BYTES; at++) {
      refused(known.key, known.nonce, flipped(bytes, at))
    }
    for (let at = 0; at < known.key.length; at++)
      refused(flipped(known.key, at), known.nonce, bytes)
    for (let at = 0; at < known.nonce.length; at++)
      refused(known.key, flipped(known.nonce, at), bytes)
    assert.equal(
      openInPlace(suite, known.key, 0, known.nonce, bytes, start, plainAt, plainEnd),
      true,
    )
  })

  test(`${name}: nothing may be sealed, with nothing or much beside it`, () => {
    const key = cases[0]!.key
    const nonce = cases[0]!.nonce
    for (const associated of [0, 1, 20, 1000]) {
      const bytes = new Uint8Array(associated + TAG_BYTES)
      sealInPlace(suite, key, 0, nonce, bytes, 0, associated, associated)
      assert.notDeepEqual(bytes.slice(associated), new Uint8Array(TAG_BYTES))
      assert.equal(openInPlace(suite, key, 0, nonce, bytes, 0, associated, associated), true)
    }
  })
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice()
  copy[at]! ^= 0x40
  return copy
}

test('the two suites do not open each other', () => {
  const key = new Uint8Array(32)
  const nonce = new Uint8Array(12)
  const bytes = new Uint8Array(40)
  sealInPlace(CHACHA20_POLY1305, key, 0, nonce, bytes, 0, 4, 24)
  const other: Suite = AES_128_GCM
  assert.equal(openInPlace(other, key, 0, nonce, bytes, 0, 4, 24), false)
})
