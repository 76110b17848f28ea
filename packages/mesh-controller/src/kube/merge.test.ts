import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { equalJson, type Json, type JsonObject, parseJson } from './json.ts'
import { checkKeys, diffPatch, mergePatch } from './merge.ts'

// RFC 7396, appendix A.
const CASES: readonly (readonly [string, string, string])[] = [
  ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
  ['{"a":"b"}', '{"a":null}', '{}'],
  ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
  ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
  ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
  ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
  ['["a","b"]', '["c","d"]', '["c","d"]'],
  ['{"a":"b"}', '["c"]', '["c"]'],
  ['{"a":"foo"}', 'null', 'null'],
  ['{"a":"foo"}', '"bar"', '"bar"'],
  ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
  ['[1,2]', '{"a":"b","c":null}', '{"a":"b"}'],
  ['{}', '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
]

test('a merge patch does what RFC 7396 says', () => {
  for (const [target, patch, result] of CASES) {
    assert.deepEqual(mergePatch(parseJson(target), parseJson(patch)), parseJson(result))
  }
})

test('a patch or a target with a dangerous key is refused', () => {
  for (const key of ['__proto__', 'constructor', 'prototype']) {
    const hostile = parseJson(`{"a":{"${key}":{"x":1}}}`)
    assert.throws(() => mergePatch({}, hostile), { code: 'JSON_DANGEROUS_KEY' })
    assert.throws(() => mergePatch(parseJson(`{"${key}":1}`), {}), { code: 'JSON_DANGEROUS_KEY' })
    assert.throws(() => checkKeys(parseJson(`[[{"${key}":1}]]`)), { code: 'JSON_DANGEROUS_KEY' })
    assert.throws(() => diffPatch(parseJson(`{"${key}":1}`) as JsonObject, {}), {
      code: 'JSON_DANGEROUS_KEY',
    })
  }
  assert.equal(({} as { x?: unknown }).x, undefined)
})

test('a patch or an object that nests too deep is refused', () => {
  let patch: Json = 1
  for (let depth = 0; depth < 300; depth++) patch = { a: patch }
  assert.throws(() => mergePatch({}, patch), { code: 'JSON_TOO_DEEP' })
  assert.throws(() => checkKeys(patch), { code: 'JSON_TOO_DEEP' })
})

const key = fc.constantFrom('a', 'b', 'c', 'd')
const tree = fc.letrec<{ value: Json; object: JsonObject }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.integer(),
    fc.string(),
    fc.array(fc.oneof(fc.integer(), tie('object')), { maxLength: 3 }) as fc.Arbitrary<Json>,
    tie('object') as fc.Arbitrary<Json>,
  ),
  object: fc.dictionary(key, tie('value'), { maxKeys: 4, noNullPrototype: true }),
})).object

test('the difference of two objects, applied to the first, gives the second', () => {
  fc.assert(
    fc.property(tree, tree, (from, to) => {
      const patch = diffPatch(from, to)
      if (patch === undefined) assert.ok(equalJson(from, to))
      else assert.deepEqual(mergePatch(from, patch), to)
    }),
    { numRuns: 500 },
  )
})
