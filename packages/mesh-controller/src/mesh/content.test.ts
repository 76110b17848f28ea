import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeCbor } from 'weir-mesh/codec'
import { isWeirError } from 'weir-mesh/runtime'
import { type JsonObject, parseJson, stringifyJson } from '../kube/index.ts'
import { contentHash, contentOf, countItems, decodeContent, encodeContent } from './content.ts'

const widget = (text: string) => parseJson(text) as JsonObject

test('what belongs to one cluster stays there, labels and annotations travel', () => {
  const content = contentOf(
    widget(`{"apiVersion":"v1","kind":"Widget","metadata":{"name":"w","namespace":"default","uid":"u",
      "resourceVersion":"9","generation":2,"creationTimestamp":"t","managedFields":[{}],"ownerReferences":[{}],"finalizers":["f"],
      "labels":{"app":"x","mesh.weir/owner-zone":"zone-b"},
      "annotations":{"note":"n","mesh.weir/owner-cluster":"c","kubectl.kubernetes.io/last-applied-configuration":"{}"}},
      "spec":{"size":3},"status":{"ready":true}}`),
  )
  assert.equal(
    stringifyJson(content),
    '{"spec":{"size":3},"status":{"ready":true},"metadata":{"annotations":{"note":"n"},"labels":{"app":"x"}}}',
  )
})

test('equal content has equal bytes, whatever the order of keys', () => {
  const one = encodeContent(contentOf(widget('{"metadata":{},"spec":{"a":1,"b":[1.5,null]}}')))
  const two = encodeContent(
    contentOf(widget('{"spec":{"b":[1.5,null],"a":1},"metadata":{"labels":{}}}')),
  )
  assert.deepEqual(one, two)
  assert.equal(contentHash(one), contentHash(two))
  assert.equal(contentHash(one).length, 16)
})

test('integers above 2^53, floats and a key called __proto__ come through unchanged', () => {
  const text =
    '{"spec":{"big":9007199254740993,"float":0.1,"huge":1e+300,"__proto__":{"polluted":true}}}'
  const back = decodeContent(encodeContent(contentOf(widget(text))))
  const spec = back.spec as JsonObject
  assert.equal(spec.big, 9007199254740993n)
  assert.equal(spec.float, 0.1)
  assert.equal(spec.huge, 1e300)
  assert.ok(Object.hasOwn(spec, '__proto__'))
  assert.equal(({} as { polluted?: boolean }).polluted, undefined)
})

test('content that is no map, or holds bytes, is refused by its code', () => {
  for (const value of [[1], 'text', 3, { spec: Uint8Array.of(1) }]) {
    assert.throws(
      () => decodeContent(encodeCbor(value)),
      (error) => isWeirError(error, 'CONTENT_INVALID'),
    )
  }
})

test('the values of a content are counted by its heads, as the decoder counts them', () => {
  const content = encodeContent({
    a: [1, 300, -70_000, 1.5, 'text', null, true],
    b: { c: {}, d: 2 ** 40 },
  })
  // A map, a name, a list and its seven values, a name, a map with two names, an empty map and a number.
  assert.equal(countItems(content), 16)
  assert.equal(countItems(encodeContent({})), 1)
  assert.ok(countItems(Uint8Array.of(0x7b, 255, 255)) > 0)
})
