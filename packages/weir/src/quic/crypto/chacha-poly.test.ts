import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import crypto, { createCipheriv } from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { test } from 'node:test'
import { toHex } from '../../codec/index.ts'
import { seededRandom } from '../../runtime/index.ts'
import { CHACHA20_POLY1305, openInPlace, sealInPlace, suitesBySpeed } from './aead.ts'
import { ASSOCIATED_BYTES_MAX, ChachaPoly, TEXT_BYTES_MAX } from './chacha-poly.ts'
import { packetKeys } from './packet-keys.ts'

const random = seededRandom(20)

/** The same by node:crypto. */
function sealed(
  key: Uint8Array,
  nonce: Uint8Array,
  associated: Uint8Array,
  plain: Uint8Array,
): Buffer {
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 })
  cipher.setAAD(associated)
  return Buffer.concat([associated, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

function check(associatedBytes: number, plainBytes: number): void {
  const key = random.bytes(32)
  const nonce = random.bytes(12)
  const buffer = random.bytes(associatedBytes + plainBytes + 16)
  const end = associatedBytes + plainBytes
  const before = buffer.slice(0, end)
  const associated = before.subarray(0, associatedBytes)
  const expected = sealed(key, nonce, associated, before.subarray(associatedBytes))
  sealInPlace(CHACHA20_POLY1305, key, 0, nonce, buffer, 0, associatedBytes, end)
  assert.ok(expected.equals(buffer), `${associatedBytes} ${plainBytes}`)
  const at = associatedBytes
  assert.equal(openInPlace(CHACHA20_POLY1305, key, 0, nonce, buffer, 0, at, end), true)
  assert.ok(Buffer.from(before).equals(buffer.subarray(0, end)), `${associatedBytes} ${plainBytes}`)
}

test('vectors are there on this machine', () => {
  assert.ok(ChachaPoly.make())
  assert.deepEqual(suitesBySpeed(), [0x1303, 0x1301])
})

test('every length up to 600 bytes is sealed as node:crypto does', () => {
  for (let length = 0; length <= 600; length++) check(random.below(40), length)
})

test('lengths around the most that fits, and above it', () => {
  for (let length = TEXT_BYTES_MAX - 20; length <= TEXT_BYTES_MAX + 20; length++) check(20, length)
  const most = ASSOCIATED_BYTES_MAX
  for (let length = most - 20; length <= most + 20; length++) check(length, 100)
  check(most, TEXT_BYTES_MAX)
  check(0, 65_000)
})

test('a long packet leaves nothing that changes a short one, in either order', () => {
  for (const length of [0, 8_000, 1, 300, 16, 8_192, 255, 0]) check(length & 31, length)
})

test('keys, nonces and what is derived from them are not left in the memory', () => {
  const memories: ArrayBuffer[] = []
  const { Instance } = WebAssembly
  // What is exported belongs to the class alone: it is taken while it is made.
  Object.assign(WebAssembly, {
    Instance: class {
      readonly exports: { readonly memory: { readonly buffer: ArrayBuffer } }
      constructor(module: object) {
        this.exports = new Instance(module).exports
        memories.push(this.exports.memory.buffer)
      }
    },
  })
  const chacha = ChachaPoly.make()!
  Object.assign(WebAssembly, { Instance })
  const memory = Buffer.from(memories[0]!)
  const key = random.bytes(32)
  const nonce = random.bytes(12)
  const stream = createCipheriv('chacha20', key, Buffer.concat([Buffer.alloc(4), nonce]))
  const oneTime = stream.update(Buffer.alloc(64))
  const buffer = random.bytes(100)
  const clean = () => {
    for (const secret of [key, nonce, oneTime.subarray(16, 32), oneTime.subarray(32)]) {
      for (let at = 0; at + 4 <= secret.length; at += 4) {
        assert.equal(memory.includes(secret.subarray(at, at + 4)), false, toHex(secret))
      }
    }
    assert.deepEqual(memory.subarray(16, 256), Buffer.alloc(240))
  }
  chacha.seal(key, 0, nonce, buffer, 0, 10, 84)
  clean()
  assert.equal(chacha.open(key, 0, nonce, buffer, 0, 10, 84), true)
  clean()
  assert.equal(chacha.open(key, 0, nonce, buffer, 0, 10, 84), false)
  clean()
})

declare const WebAssembly: {
  readonly Instance: new (
    module: object,
  ) => { readonly exports: { readonly memory: { readonly buffer: ArrayBuffer } } }
}

test('no object of node:crypto is made for a packet of ChaCha20, nor for its header', () => {
  using keys = packetKeys(CHACHA20_POLY1305, random.bytes(32))
  const { createCipheriv: sealer, createDecipheriv: opener } = crypto
  const fail = () => assert.fail('a cipher object was made')
  Object.assign(crypto, { createCipheriv: fail, createDecipheriv: fail })
  syncBuiltinESMExports()
  try {
    const bytes = new Uint8Array(1_200)
    bytes[0] = 0x41
    keys.seal(bytes, 0, 11, 1_184, 7, 2)
    assert.equal(keys.unmask(bytes, 0, 9), 2)
    assert.equal(keys.open(bytes, 0, 11, 1_200, 7), 1_184)
  } finally {
    Object.assign(crypto, { createCipheriv: sealer, createDecipheriv: opener })
    syncBuiltinESMExports()
  }
})

test('where there is no WebAssembly, as without a JIT, node:crypto seals the same', () => {
  const key = new Uint8Array(32).fill(1)
  const nonce = new Uint8Array(12).fill(2)
  const path = new URL('./aead.ts', import.meta.url).href
  const poly = new URL('./chacha-poly.ts', import.meta.url).href
  const mask = new URL('./header-mask.ts', import.meta.url).href
  const script = `
    import { openInPlace, sealInPlace, suitesBySpeed } from ${JSON.stringify(path)}
    import { ChachaPoly } from ${JSON.stringify(poly)}
    import { chachaHeaderMask } from ${JSON.stringify(mask)}
    globalThis.WebAssembly = undefined
    const key = new Uint8Array(32).fill(1)
    const nonce = new Uint8Array(12).fill(2)
    const buffer = new Uint8Array(70)
    sealInPlace(0x1303, key, 0, nonce, buffer, 0, 4, 54)
    const text = Buffer.from(buffer).toString('hex')
    const opened = openInPlace(0x1303, key, 0, nonce, buffer, 0, 4, 54)
    const forged = openInPlace(0x1303, key, 0, nonce, buffer, 0, 4, 54)
    const masked = Buffer.from(chachaHeaderMask(key, 0, new Uint8Array(20).fill(3), 2)).toString('hex')
    console.log(JSON.stringify([masked, suitesBySpeed(), ChachaPoly.make() === undefined, text, opened, forged]))`
  const args = ['--conditions=weir-source', '--input-type=module', '-e', script]
  const child = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 })
  assert.equal(child.status, 0, child.stderr)
  const expected = sealed(key, nonce, new Uint8Array(4), new Uint8Array(50)).toString('hex')
  const sample = new Uint8Array(16).fill(3)
  const masked = createCipheriv('chacha20', key, sample).update(new Uint8Array(5)).toString('hex')
  assert.deepEqual(JSON.parse(child.stdout), [
    masked,
    [0x1301, 0x1303],
    true,
    expected,
    true,
    false,
  ])
})
