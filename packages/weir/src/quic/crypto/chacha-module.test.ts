import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { test } from 'node:test'
import { concatBytes, toHex } from '../../codec/index.ts'
import { seededRandom } from '../../runtime/index.ts'
import { FREE_AT, STATE_AT, STRIDE_BYTES, TAG_AT } from './chacha-layout.ts'
import { type ChachaExports, chachaModule } from './chacha-module.ts'
import { polyCases } from './vectors.fixture.ts'

declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: unknown }
}

const wasm = new WebAssembly.Instance(new WebAssembly.Module(chachaModule(1)))
  .exports as ChachaExports
const bytes = new Uint8Array(wasm.memory.buffer)

function poly(key: Uint8Array, message: Uint8Array, firstBytes = message.length): string {
  bytes.set(key, FREE_AT)
  wasm.key(FREE_AT)
  bytes.fill(0, FREE_AT, FREE_AT + 32)
  bytes.set(message, FREE_AT)
  wasm.absorb(FREE_AT, FREE_AT + firstBytes)
  if (firstBytes < message.length) wasm.absorb(FREE_AT + firstBytes, FREE_AT + message.length)
  wasm.finish()
  return toHex(bytes.subarray(TAG_AT, TAG_AT + 16))
}

/** RFC 8439 section 2.5 in integers of any size. */
function naivePoly(key: Uint8Array, message: Uint8Array): string {
  const number = (part: Uint8Array) => BigInt(`0x${toHex(part.slice().reverse())}`)
  const r = number(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn
  let sum = 0n
  for (let at = 0; at < message.length; at += 16) {
    const block = number(message.subarray(at, at + 16)) + 2n ** 128n
    sum = ((sum + block) * r) % (2n ** 130n - 5n)
  }
  const tag = (sum + number(key.subarray(16))) % 2n ** 128n
  return toHex(Buffer.from(tag.toString(16).padStart(32, '0'), 'hex').reverse())
}

test('Poly1305 gives the tags of RFC 8439 A.3', () => {
  const cases = polyCases()
  assert.equal(cases.length, 8)
  for (const { key, message, tag } of cases) {
    assert.equal(poly(key, message), toHex(tag))
    assert.equal(naivePoly(key, message), toHex(tag))
  }
})

test('Poly1305 agrees with integers of any size, for keys and messages at the edges too', () => {
  const random = seededRandom(8439)
  const edges = [0x00, 0x01, 0xfa, 0xfb, 0xfc, 0xfe, 0xff]
  const some = (length: number): Uint8Array => {
    const kind = random.below(3)
    if (kind === 0) return random.bytes(length)
    const made = new Uint8Array(length).fill(edges[random.below(edges.length)]!)
    if (kind === 2) made[random.below(length)] = random.below(256)
    return made
  }
  for (let count = 0; count < 1_000; count++) {
    const key = some(32)
    const blocks = 1 + random.below(12)
    const message = concatBytes(...Array.from({ length: blocks }, () => some(16)))
    const cut = 16 * (1 + random.below(blocks))
    assert.equal(poly(key, message, cut), naivePoly(key, message))
  }
})

test('the stream is that of ChaCha20 for every count of strides, and the counter goes on', () => {
  const random = seededRandom(1)
  const from = 1024
  const to = 20_000
  for (let strides = 1; strides <= 5; strides++) {
    const key = random.bytes(32)
    const nonce = random.bytes(12)
    const text = random.bytes(STRIDE_BYTES * strides)
    const sample = concatBytes(Uint8Array.of(7, 0, 0, 0), nonce)
    const cipher = createCipheriv('chacha20', key, sample)
    bytes.set(Buffer.from('expand 32-byte k'), STATE_AT)
    bytes.set(key, STATE_AT + 16)
    bytes.set(sample, STATE_AT + 48)
    bytes.set(text, from)
    for (let turn = 0; turn < 2; turn++) {
      bytes.fill(0, to, to + text.length + 1)
      // The last byte of the last stride asks for all of it, and nothing is written after it.
      wasm.stream(from, to, to + text.length - STRIDE_BYTES + 1)
      const made = bytes.subarray(to, to + text.length)
      assert.equal(toHex(made), toHex(cipher.update(text)))
      assert.equal(bytes[to + text.length], 0)
    }
  }
})
