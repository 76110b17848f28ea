import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '../kube/index.ts'
import { applyDefaults, prune } from './schema.ts'
import { compileSchema } from './validate.ts'

const spec = (properties: JsonObject, more: JsonObject = {}): JsonObject => ({
  type: 'object',
  properties: { spec: { type: 'object', properties, ...more } },
})

test('fields that the schema does not know are pruned and named', () => {
  const schema = spec({
    known: { type: 'string' },
    list: { type: 'array', items: { type: 'object', properties: { a: { type: 'integer' } } } },
    map: { type: 'object', additionalProperties: { type: 'object', properties: { b: {} } } },
    open: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    any: { type: 'object', additionalProperties: true },
    pod: { type: 'object', 'x-kubernetes-embedded-resource': true, properties: {} },
  })
  const object: JsonObject = {
    apiVersion: 'v1',
    kind: 'W',
    metadata: { name: 'x', free: 1 },
    other: 1,
    spec: {
      known: 'x',
      unknown: 1,
      list: [{ a: 1, b: 2 }],
      map: { k: { b: 1, c: 2 } },
      open: { free: { x: 1 } },
      any: { free: 1 },
      pod: { kind: 'P', metadata: { name: 'p' }, gone: 1 },
    },
  }
  const unknown: string[] = []
  prune(object, schema, (path) => unknown.push(path))
  assert.deepEqual(unknown.sort(), [
    'other',
    'spec.list[0].b',
    'spec.map.k.c',
    'spec.pod.gone',
    'spec.unknown',
  ])
  assert.deepEqual(object, {
    apiVersion: 'v1',
    kind: 'W',
    metadata: { name: 'x', free: 1 },
    spec: {
      known: 'x',
      list: [{ a: 1 }],
      map: { k: { b: 1 } },
      open: { free: { x: 1 } },
      any: { free: 1 },
      pod: { kind: 'P', metadata: { name: 'p' } },
    },
  })
})

test('a schema with keys of the prototype prunes by own keys only', () => {
  const object = JSON.parse('{"spec":{"constructor":1,"toString":2}}') as JsonObject
  prune(object, spec({}), () => {})
  assert.deepEqual(Object.keys(object['spec'] as JsonObject), [])
})

test('defaults are filled in, at every depth, and a null that is not allowed counts as absent', () => {
  const schema = spec({
    a: { type: 'string', default: 'x' },
    n: { type: 'string', nullable: true, default: 'x' },
    z: { type: 'string', default: 'y' },
    inner: { type: 'object', default: {}, properties: { b: { type: 'integer', default: 1 } } },
    list: { type: 'array', items: { type: 'object', properties: { c: { default: [1] } } } },
    map: {
      type: 'object',
      additionalProperties: { type: 'object', properties: { d: { default: 2 } } },
    },
  })
  const object: JsonObject = { spec: { n: null, z: null, list: [{}, {}], map: { k: {} } } }
  applyDefaults(object, schema)
  assert.deepEqual(object, {
    spec: {
      n: null,
      z: 'y',
      list: [{ c: [1] }, { c: [1] }],
      map: { k: { d: 2 } },
      a: 'x',
      inner: { b: 1 },
    },
  })
  const { list } = object['spec'] as { list: { c: number[] }[] }
  assert.notEqual(list[0]?.c, list[1]?.c)
})

test('what breaks the schema is said in the words of an API server', () => {
  const validate = compileSchema(
    spec(
      {
        size: { type: 'integer', minimum: 0, maximum: 9 },
        above: { type: 'number', minimum: 1, exclusiveMinimum: true },
        color: { type: 'string', enum: ['red', 'blue'] },
        name: { type: 'string', pattern: '^[a-z]+$', minLength: 2, maxLength: 4 },
        list: { type: 'array', minItems: 1, maxItems: 2, items: { type: 'string' } },
        port: { 'x-kubernetes-int-or-string': true },
        maybe: { type: 'string', nullable: true },
        time: { type: 'string', format: 'date-time' },
        other: { type: 'string', format: 'not-checked' },
        i32: { type: 'integer', format: 'int32' },
      },
      { required: ['size'] },
    ),
  )
  const causes = (fields: JsonObject) =>
    validate({ spec: fields }).map(({ field, message }) => `${field}: ${message}`)
  assert.deepEqual(causes({ size: 1, port: 'http', maybe: null, other: '!' }), [])
  assert.deepEqual(causes({ size: 1, port: 80, time: '2026-01-02T03:04:05Z', i32: 1 }), [])
  const cases: readonly (readonly [JsonObject, string])[] = [
    [{}, 'spec.size: Required value'],
    [
      { size: -1 },
      'spec.size: Invalid value: -1: spec.size in body should be greater than or equal to 0',
    ],
    [
      { size: 10 },
      'spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9',
    ],
    [
      { size: 1, above: 1 },
      'spec.above: Invalid value: 1: spec.above in body should be greater than 1',
    ],
    [
      { size: '1' },
      'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"',
    ],
    [
      { size: 1.5 },
      'spec.size: Invalid value: "number": spec.size in body must be of type integer: "number"',
    ],
    [
      { size: 1, color: 'pink' },
      'spec.color: Unsupported value: "pink": supported values: "red", "blue"',
    ],
    [
      { size: 1, name: 'A1' },
      `spec.name: Invalid value: "A1": spec.name in body should match '^[a-z]+$'`,
    ],
    [
      { size: 1, name: 'a' },
      'spec.name: Invalid value: "a": spec.name in body should be at least 2 chars long',
    ],
    [{ size: 1, name: 'abcde' }, 'spec.name: Too long: may not be more than 4 bytes'],
    [
      { size: 1, list: [] },
      'spec.list: Invalid value: []: spec.list in body should have at least 1 items',
    ],
    [{ size: 1, list: ['a', 'b', 'c'] }, 'spec.list: Too many: 3: must have at most 2 items'],
    [
      { size: 1, list: [1] },
      'spec.list[0]: Invalid value: "integer": spec.list[0] in body must be of type string: "integer"',
    ],
    [
      { size: 1, port: true },
      'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
    ],
    [
      { size: 1, time: 'now' },
      'spec.time: Invalid value: "now": spec.time in body must be of type date-time: "now"',
    ],
    [
      { size: 1, i32: 3_000_000_000 },
      'spec.i32: Invalid value: 3000000000: spec.i32 in body must be of type int32: 3000000000',
    ],
  ]
  for (const [fields, text] of cases) assert.deepEqual(causes(fields), [text])
})

test('an integer above 2^53 is an integer for the schema', () => {
  const validate = compileSchema(
    spec({ n: { type: 'integer', maximum: 10 }, m: { type: 'integer' } }),
  )
  assert.deepEqual(validate({ spec: { m: 9007199254740993n } }), [])
  assert.equal(validate({ spec: { n: 9007199254740993n } }).length, 1)
})

test('a schema that is none is refused', () => {
  assert.throws(() => compileSchema(spec({ a: { type: 'string', pattern: '(' } })))
})
