import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../../codec/index.ts'
import { isRetryAuthentic, retryTag } from './retry-tag.ts'
import { rfc } from './vectors.fixture.ts'

test('the tag of the Retry packet of RFC 9001 A.4 is made and checked', () => {
  const packet = rfc('rfc9001', 'retryPacket')
  const id = rfc('rfc9001', 'id')
  assert.equal(toHex(retryTag(id, packet.subarray(0, -16))), toHex(packet.subarray(-16)))
  assert.equal(isRetryAuthentic(id, packet), true)
  for (let bit = 0; bit < 8 * packet.length; bit++) {
    const forged = packet.slice()
    forged[bit >>> 3]! ^= 1 << (bit & 7)
    assert.equal(isRetryAuthentic(id, forged), false)
  }
})

test('a Retry that answers another packet, or is cut, is not authentic', () => {
  const packet = rfc('rfc9001', 'retryPacket')
  const id = rfc('rfc9001', 'id')
  assert.equal(isRetryAuthentic(id.subarray(1), packet), false)
  assert.equal(isRetryAuthentic(new Uint8Array(0), packet), false)
  for (let length = 0; length < packet.length; length++) {
    assert.equal(isRetryAuthentic(id, packet.subarray(0, length)), false)
  }
})

test('ids of every length have tags, and different ones', () => {
  const seen = new Set<string>()
  for (let length = 0; length <= 20; length++) {
    const id = new Uint8Array(length)
    const packet = new Uint8Array(40)
    const tag = retryTag(id, packet.subarray(0, 24))
    packet.set(tag, 24)
    assert.equal(isRetryAuthentic(id, packet), true)
    seen.add(toHex(tag))
  }
  assert.equal(seen.size, 21)
})
