import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../../testing/index.ts'
import { term } from '../../bounds/index.ts'
import { seededRandom } from '../../runtime/index.ts'
import { Reassembly } from './reassembly.ts'
import { SendBuffer } from './send-buffer.ts'

const byteAt = (at: number): number => (at * 7 + (at >>> 8)) & 255
const add = (to: Reassembly, offset: number, bytes: Uint8Array) =>
  to.add(offset, bytes, 0, bytes.length)
const part = (from: number, to: number): Uint8Array =>
  Uint8Array.from({ length: to - from }, (_, index) => byteAt(from + index))

test('bytes that come in any order, twice and in pieces are read once and in order', () => {
  for (let seed = 0; seed < 40; seed++) {
    const random = seededRandom(seed)
    const bytes = new Reassembly(64)
    const length = 1 + random.below(20_000)
    let read = 0
    for (let guard = 0; read < length && guard < 100_000; guard++) {
      const from = Math.min(read + random.below(3_000), length)
      assert.ok(add(bytes, from, part(from, Math.min(from + random.below(1_500), length))))
      if (random.below(3) === 0) add(bytes, read, part(read, Math.min(read + 700, length)))
      const taken = bytes.take(1 + random.below(2_000))
      for (const byte of taken ?? []) assert.equal(byte, byteAt(read++))
    }
    assert.equal(read, length)
  }
})

test('one gap more than the cap is not taken', () => {
  const bytes = new Reassembly(4)
  for (let gap = 0; gap < 5; gap++) assert.ok(add(bytes, 10 + gap * 10, part(0, 1)))
  assert.equal(add(bytes, 100, part(0, 1)), false)
  assert.equal(bytes.highest, 51)
  assert.ok(add(bytes, 51, part(0, 1)), 'what touches makes no gap')
})

test('whatever is lost and acknowledged, all bytes are sent and none is wrong', async () => {
  const buffers = term({
    name: 'test.send',
    why: 'test',
    payloadBytesMax: 1 << 20,
    instancesMax: 99,
  })
  await withLedger([buffers], (ledger) => {
    for (let seed = 0; seed < 40; seed++) {
      const random = seededRandom(seed)
      using account = ledger.require(buffers)
      const buffer = new SendBuffer(account)
      const length = 1 + random.below(30_000)
      const arrived = new Set<number>()
      const flying: [number, number][] = []
      let written = 0
      for (let guard = 0; !(written === length && buffer.allAcked) && guard < 50_000; guard++) {
        if (written < length && buffer.held < 8_000) {
          const more = Math.min(random.below(3_000), length - written)
          assert.ok(buffer.write(part(written, written + more), 0, more))
          written += more
        }
        const target = new Uint8Array(1_300)
        if (buffer.next(1 + random.below(1_200))) {
          const { chunkAt, chunkLength } = buffer
          buffer.take(target, 50)
          for (let at = 0; at < chunkLength; at++) {
            assert.equal(target[50 + at], byteAt(chunkAt + at))
          }
          flying.push([chunkAt, chunkLength])
        }
        if (flying.length === 0) continue
        const [at, bytes] = flying.splice(random.below(flying.length), 1)[0]!
        if (random.below(4) === 0) buffer.lost(at, bytes)
        else {
          buffer.acked(at, bytes)
          for (let byte = at; byte < at + bytes; byte++) arrived.add(byte)
        }
      }
      assert.ok(buffer.allAcked && written === length, `seed ${seed}`)
      assert.equal(arrived.size, length)
      buffer.free()
      assert.equal(account.bytes, 0)
    }
  })
})
