import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { blake3 as noble } from '@noble/hashes/blake3.js'
import fc from 'fast-check'
import { concatBytes, toHex } from '../codec/index.ts'
import { seededRandom } from '../runtime/index.ts'
import { Blake3, blake3, CHUNK_BYTES, chunkCv, parentCv } from './index.ts'

interface Official {
  readonly cases: readonly { readonly length: number; readonly hash: string }[]
}

const official: Official = JSON.parse(
  readFileSync(new URL('../../vectors/blake3-official.json', import.meta.url), 'utf8'),
)

const pattern = (length: number) => Uint8Array.from({ length }, (_, at) => at % 251)

/** The hash as bao builds it: from chunks and parents, left subtrees as full as they can be. */
function treeHash(input: Uint8Array, firstChunk = 0, root = true): Uint8Array {
  if (input.length <= CHUNK_BYTES) return chunkCv(input, firstChunk, root)
  const chunks = Math.ceil(input.length / CHUNK_BYTES)
  const left = 2 ** Math.floor(Math.log2(chunks - 1)) * CHUNK_BYTES
  return parentCv(
    treeHash(input.subarray(0, left), firstChunk, false),
    treeHash(input.subarray(left), firstChunk + left / CHUNK_BYTES, false),
    root,
  )
}

test('the official vectors hold for the whole, for pieces and for the tree', () => {
  assert.ok(official.cases.length >= 30)
  for (const { length, hash } of official.cases) {
    const input = pattern(length)
    assert.equal(toHex(blake3(input)), hash)
    assert.equal(toHex(treeHash(input)), hash)
    for (const step of [1, 63, 64, 65, 1000, 1024, 5000]) {
      if (length / step > 5000) continue
      const pieces = new Blake3()
      for (let at = 0; at < length; at += step) pieces.update(input.subarray(at, at + step))
      assert.equal(toHex(pieces.digest()), hash, `${length} bytes in pieces of ${step}`)
    }
  }
})

test('every length up to three chunks, and random ones, are as noble has them', () => {
  const random = seededRandom(5)
  const input = random.bytes(200_000)
  const lengths = Array.from({ length: 3 * CHUNK_BYTES + 2 }, (_, at) => at)
  for (let more = 0; more < 40; more++) lengths.push(random.below(input.length))
  for (const length of lengths) {
    // An odd offset: the words of the message are not aligned.
    const part = input.subarray(3, 3 + length)
    assert.equal(toHex(blake3(part)), toHex(noble(part)))
  }
})

test('a hasher goes on after a digest, and two of them do not disturb each other', () => {
  const cuts = fc.array(fc.nat(3000), { maxLength: 6 })
  fc.assert(
    fc.property(cuts, cuts, (first, second) => {
      const hashers = [new Blake3(), new Blake3()]
      const inputs: Uint8Array[] = [new Uint8Array(), new Uint8Array()]
      for (let at = 0; at < Math.max(first.length, second.length); at++) {
        ;[first[at], second[at]].forEach((length, index) => {
          if (length === undefined) return
          const part = pattern(length)
          inputs[index] = concatBytes(inputs[index]!, part)
          assert.deepEqual(hashers[index]!.update(part).digest(), blake3(inputs[index]!))
        })
      }
    }),
    { numRuns: 30 },
  )
})

test('the position of a chunk counts beyond 32 bits', () => {
  const chunk = pattern(CHUNK_BYTES)
  const low = chunkCv(chunk, 5)
  assert.notDeepEqual(chunkCv(chunk, 5 + 2 ** 32), low)
  assert.deepEqual(chunkCv(chunk, 5), low)
})

test('a hash has memory of its own', () => {
  const hash = blake3(pattern(3))
  const kept = toHex(hash)
  blake3(pattern(4))
  assert.equal(toHex(hash), kept)
  assert.equal(hash.buffer.byteLength, 32)
})
