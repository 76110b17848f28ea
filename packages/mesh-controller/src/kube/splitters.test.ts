import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Account, Ledger, planMemory } from 'weir-mesh/bounds'
import { type JsonObject, parseJson } from './json.ts'
import { LineSplitter, type Piece } from './line-splitter.ts'
import { ListSplitter } from './list-splitter.ts'
import { DEFAULT_KUBE_LIMITS, kubeTerms } from './memory.ts'
import { type LargeObject, MetadataScanner } from './metadata-scanner.ts'

function withAccount(
  run: (account: Account) => void,
  limits: Partial<typeof DEFAULT_KUBE_LIMITS> = {},
): void {
  const terms = kubeTerms({ ...DEFAULT_KUBE_LIMITS, ...limits })
  const plan = planMemory(Object.values(terms), { limitBytes: 2 ** 31 })
  const ledger = new Ledger(plan, { assertLeaks: true })
  const account = ledger.require(terms.streams)
  run(account)
  account[Symbol.dispose]()
  ledger.assertEmpty()
}

/** Cuts bytes at these places and feeds them one by one. */
function* cut(bytes: Buffer, places: readonly number[]): IterableIterator<Buffer> {
  let from = 0
  for (const place of [...places].map((p) => p % (bytes.length + 1)).sort((a, b) => a - b)) {
    yield bytes.subarray(from, place)
    from = place
  }
  yield bytes.subarray(from)
}

const copy = (piece: Piece) => (Buffer.isBuffer(piece) ? piece.toString('utf8') : piece)

test('lines come out whole, however they are cut', () => {
  withAccount((account) => {
    fc.assert(
      fc.property(
        fc.array(
          fc.jsonValue().map((value) => JSON.stringify(value)),
          { maxLength: 8 },
        ),
        fc.array(fc.nat(), { maxLength: 8 }),
        (lines, places) => {
          using splitter = new LineSplitter(account)
          const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
          const found: unknown[] = []
          for (const chunk of cut(bytes, places)) {
            for (const piece of splitter.push(chunk)) found.push(copy(piece))
          }
          assert.deepEqual(found, lines)
        },
      ),
    )
  })
})

test('a line above the cap is passed over and named, and the next one comes', () => {
  const event = (name: string, filler: string) =>
    JSON.stringify({
      type: 'MODIFIED',
      object: {
        apiVersion: 'v1',
        data: { metadata: { name: 'not this' } },
        kind: 'Widget',
        metadata: {
          labels: { name: 'nor this', a: 'x"}{' },
          managedFields: [{ name: 'nor that' }],
          name,
          namespace: 'default',
          resourceVersion: '77',
          uid: 'u-1',
        },
        spec: { filler, metadata: { name: 'neither' } },
      },
    })
  const large = event('big', 'z'.repeat(9_000))
  withAccount(
    (account) => {
      using splitter = new LineSplitter(account)
      const found: unknown[] = []
      const bytes = Buffer.from(`${event('a', '')}\n${large}\n${event('b', '')}\n`)
      for (let at = 0; at < bytes.length; at += 1000) {
        for (const piece of splitter.push(bytes.subarray(at, at + 1000))) found.push(copy(piece))
        assert.ok(account.bytes <= 4096)
      }
      assert.deepEqual(found, [
        event('a', ''),
        {
          type: 'MODIFIED',
          name: 'big',
          namespace: 'default',
          uid: 'u-1',
          resourceVersion: '77',
          bytes: large.length,
        },
        event('b', ''),
      ])
    },
    { objectBytesMax: 4096 },
  )
})

test('the room of a large line is given back with it', () => {
  withAccount((account) => {
    using splitter = new LineSplitter(account)
    const large = Buffer.alloc(500_000, 'x')
    for (let at = 0; at < large.length; at += 65_536) {
      assert.deepEqual([...splitter.push(large.subarray(at, at + 65_536))], [])
    }
    assert.ok(account.bytes >= 500_000)
    assert.equal([...splitter.push(Buffer.from('\n'))].length, 1)
    assert.equal(account.bytes, 0)
  })
})

test('a stream that finds the shared bytes used up ends with an error and not with a gap', () => {
  withAccount(
    (account) => {
      using splitter = new LineSplitter(account)
      assert.throws(() => [...splitter.push(Buffer.alloc(20_000, 'x'))], { code: 'KUBE_BUSY' })
    },
    { bodiesBytesMax: 8192, objectBytesMax: 65_536 },
  )
})

test('items of a list come out whole, however the answer is cut', () => {
  const value = fc.jsonValue().filter((json) => JSON.stringify(json).length < 2_000)
  const item = fc.dictionary(fc.string(), value, { noNullPrototype: true, maxKeys: 4 })
  withAccount((account) => {
    fc.assert(
      fc.property(
        fc.array(item, { maxLength: 6 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        fc.boolean(),
        fc.constantFrom(undefined, 1),
        (items, places, metadataFirst, indent) => {
          const metadata = { resourceVersion: '5', continue: 'x"items":[' }
          const list = metadataFirst
            ? { kind: 'WList', metadata, items }
            : { items, kind: 'WList', metadata, remaining: [1, [2]] }
          using splitter = new ListSplitter(account)
          const found: unknown[] = []
          for (const chunk of cut(Buffer.from(JSON.stringify(list, undefined, indent)), places)) {
            for (const piece of splitter.push(chunk)) found.push(parseJson(copy(piece) as string))
          }
          assert.deepEqual(found, parseJson(JSON.stringify(items)))
          assert.deepEqual(splitter.end(), { ...list, items: [] })
        },
      ),
      { numRuns: 300 },
    )
  })
})

test('an item above the cap is passed over and named', () => {
  withAccount(
    (account) => {
      using splitter = new ListSplitter(account)
      const large = {
        kind: 'W',
        metadata: { name: 'big', namespace: 'n', uid: 'u' },
        s: 'x'.repeat(5000),
      }
      const list = JSON.stringify({ items: [{ a: 1 }, large, { b: 2 }], metadata: {} })
      const found: unknown[] = []
      for (const chunk of cut(Buffer.from(list), [100, 3000])) {
        for (const piece of splitter.push(chunk)) found.push(copy(piece))
      }
      assert.deepEqual(found, [
        '{"a":1}',
        { name: 'big', namespace: 'n', uid: 'u', bytes: JSON.stringify(large).length },
        '{"b":2}',
      ])
      splitter.end()
    },
    { objectBytesMax: 2048 },
  )
})

test('a list without items may be null, and what is no list is refused', () => {
  withAccount((account) => {
    const end = (text: string): JsonObject => {
      using splitter = new ListSplitter(account)
      for (const _ of splitter.push(Buffer.from(text))) assert.fail('no item was sent')
      return splitter.end()
    }
    assert.deepEqual(end('{"items":null,"metadata":{}}'), { items: null, metadata: {} })
    for (const text of ['', '{', '[]', '{"items":[', '{"kind":"Status"}', '{"items":[]']) {
      assert.throws(() => end(text), { code: 'KUBE_RESPONSE_INVALID' }, text)
    }
    const more = `{"x":"${'y'.repeat(20_000)}","items":[]}`
    assert.throws(() => end(more), { code: 'KUBE_RESPONSE_INVALID' })
  })
})

test('the scanner finds the metadata of any object, however it is cut', () => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 40, unit: 'grapheme' }),
      fc.jsonValue(),
      fc.array(fc.nat(), { maxLength: 6 }),
      fc.boolean(),
      (name, noise, places, inWatchEvent) => {
        const object = {
          metadata: { annotations: { noise, name: 1 }, name, uid: 'u' },
          spec: { noise, metadata: { name: 'x' } },
        }
        const value = inWatchEvent ? { type: 'ADDED', object } : object
        const text = Buffer.from(JSON.stringify(value))
        const scanner = new MetadataScanner({ inWatchEvent })
        for (const chunk of cut(text, places)) scanner.push(chunk)
        const expected: LargeObject = {
          ...(inWatchEvent ? { type: 'ADDED' } : {}),
          name,
          uid: 'u',
          bytes: text.length,
        }
        assert.deepEqual({ ...scanner.result() }, expected)
      },
    ),
    { numRuns: 300 },
  )
})
