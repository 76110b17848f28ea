import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CborWriter } from 'weir-mesh/codec'
import { isWeirError, seededRandom } from 'weir-mesh/runtime'
import {
  BODY_VERSION,
  decodeBody,
  encodeBegin,
  encodeChunk,
  encodeDelete,
  encodeEnd,
  encodeHeld,
  encodeItem,
  encodePut,
  type Item,
} from './protocol.ts'

const item: Item = {
  resource: 'demo.weir.example/Widget',
  namespace: 'default',
  name: 'w1',
  version: '17',
  content: Uint8Array.of(0xa0),
}
const bodies = [
  encodePut('zone-a', item),
  encodeDelete('zone-a', item, '18'),
  encodeBegin('zone-a', { incarnation: 3, snapshot: 1, cluster: 'uid', count: 2 }),
  encodeChunk('zone-a', 1, [
    encodeItem(item),
    encodeItem({ ...item, name: 'w2' }),
    encodeHeld({ ...item, name: 'w3' }),
  ]),
  encodeEnd('zone-a', 1, 2),
]

test('every kind of body comes back as it was', () => {
  const [put, gone, begin, chunk, end] = bodies.map((body) => decodeBody(body))
  assert.deepEqual(put, { kind: 'put', zone: 'zone-a', item })
  const { resource, namespace, name } = item
  assert.deepEqual(gone, {
    kind: 'delete',
    zone: 'zone-a',
    name: { resource, namespace, name },
    version: '18',
  })
  assert.deepEqual(begin, {
    kind: 'begin',
    zone: 'zone-a',
    incarnation: 3,
    snapshot: 1,
    cluster: 'uid',
    count: 2,
  })
  assert.deepEqual(chunk, {
    kind: 'chunk',
    zone: 'zone-a',
    snapshot: 1,
    items: [item, { ...item, name: 'w2' }, { resource, namespace, name: 'w3' }],
  })
  assert.deepEqual(end, { kind: 'end', zone: 'zone-a', snapshot: 1, count: 2 })
})

test('items of any names and contents survive', () => {
  const word = fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,60}$/)
  fc.assert(
    fc.property(
      word,
      word,
      word,
      fc.uint8Array({ maxLength: 300 }),
      (namespace, name, version, content) => {
        const given = { ...item, namespace, name, version, content }
        const back = decodeBody(encodePut('z', given))
        assert.deepEqual(back.kind === 'put' && { ...back.item, content: [...back.item.content] }, {
          ...given,
          content: [...content],
        })
      },
    ),
  )
})

test('a put without a content, and an item of other fields, are refused', () => {
  const held = decodeBody(encodeChunk('z', 1, [encodeHeld(item)]))
  assert.deepEqual(held.kind === 'chunk' && held.items.map(({ content }) => content), [undefined])
  const put = new CborWriter().array(4).int(BODY_VERSION).int(0).text('z')
  assert.throws(
    () => decodeBody(put.byteString(encodeHeld(item)).finish()),
    (error) => isWeirError(error, 'DECODE_MALFORMED') && error.message.includes('no content'),
  )
  for (const fields of [0, 1, 2, 4, 6]) {
    const other = encodeHeld(item)
    other[0] = 0x80 + fields
    assert.throws(
      () => decodeBody(encodeChunk('z', 1, [other])),
      (error) => isWeirError(error, 'DECODE_MALFORMED'),
    )
  }
  const more = Buffer.concat([encodeHeld(item), Uint8Array.of(0)])
  assert.throws(
    () => decodeBody(encodeChunk('z', 1, [more])),
    (error) => isWeirError(error),
  )
})

test('a body of another version is refused by its code', () => {
  const later = bodies[0]!.slice()
  later[1] = BODY_VERSION + 1
  assert.throws(
    () => decodeBody(later),
    (error) => isWeirError(error, 'BODY_VERSION_UNSUPPORTED'),
  )
})

test('a kind that only a newer controller knows is told apart', () => {
  const later = bodies[0]!.slice()
  later[2] = 9
  assert.deepEqual(decodeBody(later), { kind: 'unknown', zone: 'zone-a', code: 9 })
})

test('every truncation and 20 000 mutations decode or fail with a code', () => {
  const random = seededRandom(1)
  const read = (bytes: Uint8Array) => {
    try {
      decodeBody(bytes)
    } catch (error) {
      assert.ok(isWeirError(error), String(error))
    }
  }
  for (const body of bodies) {
    for (let end = 0; end < body.length; end++) {
      assert.throws(
        () => decodeBody(body.subarray(0, end)),
        (error) => isWeirError(error),
      )
    }
    for (let round = 0; round < 4000; round++) {
      const mutated = body.slice()
      for (let count = 1 + random.below(3); count > 0; count--) {
        mutated[random.below(mutated.length)] = random.below(256)
      }
      read(mutated)
    }
  }
})

test('names that are empty, too long or contain a space are refused', () => {
  for (const name of ['', 'a b', 'x'.repeat(254)]) {
    assert.throws(
      () => decodeBody(encodePut('z', { ...item, name })),
      (error) => isWeirError(error),
    )
  }
})
