import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  cloneJson,
  equalJson,
  getOwn,
  type Json,
  type JsonObject,
  parseJson,
  setOwn,
  stringifyJson,
} from './json.ts'

test('integers that a double cannot hold pass unchanged', () => {
  const text =
    '{"a":9007199254740993,"b":-9223372036854775808,"c":18446744073709551615,"d":9007199254740991}'
  assert.equal(stringifyJson(parseJson(text)), text)
  assert.equal((parseJson(text) as JsonObject)['a'], 9007199254740993n)
  assert.equal((parseJson(text) as JsonObject)['d'], 9007199254740991)
})

test('an integer that no 64-bit integer holds becomes a number, as in an API server', () => {
  assert.equal(parseJson('18446744073709551616'), 2 ** 64)
  assert.equal(parseJson('-9223372036854775809'), -(2 ** 63))
  assert.equal(parseJson('1234567890123456789012345'), 1.2345678901234568e24)
})

test('digits in a string are no integer', () => {
  assert.deepEqual(parseJson('{"a":"9007199254740993"}'), { a: '9007199254740993' })
})

test('a text that is no JSON is refused with a code and without the text', () => {
  assert.throws(() => parseJson('{"a":'), { code: 'JSON_INVALID' })
  assert.throws(() => parseJson('{"a":1234567890123456,'), { code: 'JSON_INVALID' })
})

test('a key __proto__ is an own key and reaches no prototype', () => {
  const value = parseJson('{"__proto__":{"polluted":1},"n":9007199254740993}') as JsonObject
  assert.equal((value as { polluted?: unknown }).polluted, undefined)
  assert.ok(Object.hasOwn(value, '__proto__'))
  const copy = cloneJson(value)
  assert.equal(Object.getPrototypeOf(copy), Object.prototype)
  assert.equal(stringifyJson(copy), stringifyJson(value))
  const set: JsonObject = {}
  setOwn(set, '__proto__', 1)
  assert.equal(Object.getPrototypeOf(set), Object.prototype)
  assert.equal(getOwn({}, 'toString'), undefined)
})

const json = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.string(),
    fc.integer(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n)),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value

test('what was written is read back', () => {
  fc.assert(
    fc.property(json, (value) => {
      const text = stringifyJson(value)
      assert.equal(stringifyJson(parseJson(text)), text)
      assert.ok(equalJson(cloneJson(value), value))
    }),
    { numRuns: 500 },
  )
})

test('equality looks at keys and values, not at their order', () => {
  assert.ok(equalJson({ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1 }))
  assert.ok(!equalJson({ a: 1 }, { a: 1, b: 2 }))
  assert.ok(!equalJson({ a: 1 }, { b: 1 }))
  assert.ok(!equalJson([1, 2], [2, 1]))
  assert.ok(!equalJson({}, []))
})
