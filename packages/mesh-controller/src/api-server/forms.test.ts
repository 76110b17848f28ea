import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyJsonPatch } from './json-patch.ts'
import { findByPath } from './json-path.ts'
import { negotiate } from './negotiate.ts'
import { parseRoute } from './route.ts'
import { humanDuration } from './table.ts'

test('a path of the API says what is meant', () => {
  const resource = (path: string) => {
    const route = parseRoute(path)
    assert.ok(route?.at === 'resource', path)
    const { group, version, namespace, plural, name, subresource } = route
    return [group, version, namespace, plural, name, subresource].join('|')
  }
  assert.equal(resource('/api/v1/namespaces'), '|v1||namespaces||')
  assert.equal(resource('/api/v1/namespaces/x'), '|v1||namespaces|x|')
  assert.equal(resource('/api/v1/namespaces/x/status'), '|v1||namespaces|x|status')
  assert.equal(resource('/api/v1/namespaces/x/events'), '|v1|x|events||')
  assert.equal(resource('/apis/g.example/v1/widgets'), 'g.example|v1||widgets||')
  assert.equal(
    resource('/apis/g.example/v1/namespaces/n/widgets/w/status'),
    'g.example|v1|n|widgets|w|status',
  )
  for (const path of [
    '/',
    '/api',
    '/api/v1',
    '/apis',
    '/apis/g',
    '/apis/g/v1',
    '/version/',
    '/x/y',
  ]) {
    assert.equal(parseRoute(path)?.at, 'document', path)
  }
  const bad = [
    '/api/v1/namespaces/n/widgets/w/status/more',
    '/api/v1/a/b/c/d',
    '/api/v1//x',
    '/api/v1/namespaces/%2e%2f/events',
    '/api/v1/%zz',
    `/${'a/'.repeat(50)}`,
  ]
  for (const path of bad) assert.equal(parseRoute(path), undefined, path)
})

test('the form of an answer is the first in the Accept header that is served', () => {
  assert.deepEqual(negotiate(undefined), { as: 'object' })
  assert.deepEqual(negotiate('*/*'), { as: 'object' })
  assert.deepEqual(negotiate('application/vnd.kubernetes.protobuf, application/json'), {
    as: 'object',
  })
  assert.deepEqual(
    negotiate(
      'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io',
    ),
    { as: 'table' },
  )
  assert.deepEqual(negotiate('application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io'), {
    as: 'partial',
  })
  assert.deepEqual(
    negotiate('application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList'),
    { as: 'discovery', version: 'v2beta1' },
  )
  assert.throws(() => negotiate('application/yaml'), { status: 406 })
})

test('printer columns find what they name', () => {
  const object = {
    spec: { size: 0, 'a.b': 'x', list: [1, 2, 3] },
    status: {
      conditions: [
        { type: 'A', status: 'no' },
        { type: 'Ready', status: 'yes' },
      ],
    },
  }
  const cases: readonly (readonly [string, unknown[]])[] = [
    ['.spec.size', [0]],
    ['{.spec.size}', [0]],
    [".spec['a.b']", ['x']],
    ['.spec.a\\.b', ['x']],
    ['.spec.list[1]', [2]],
    ['.spec.list[-1]', [3]],
    ['.spec.list[*]', [1, 2, 3]],
    ['.status.conditions[?(@.type=="Ready")].status', ['yes']],
    [".status.conditions[?(@.type=='Other')].status", []],
    ['.spec.none', []],
    ['.spec.toString', []],
    ['spec', []],
    ['.spec[', []],
  ]
  for (const [path, found] of cases) assert.deepEqual(findByPath(object, path), found, path)
})

test('spans of time are shown as kubectl shows them', () => {
  const second = 1_000
  const minute = 60 * second
  const hour = 60 * minute
  const day = 24 * hour
  const cases: readonly (readonly [number, string])[] = [
    [-5 * second, '<invalid>'],
    [-500, '0s'],
    [0, '0s'],
    [119 * second, '119s'],
    [2 * minute, '2m'],
    [2 * minute + 5 * second, '2m5s'],
    [10 * minute + 5 * second, '10m'],
    [179 * minute, '179m'],
    [3 * hour + 5 * minute, '3h5m'],
    [8 * hour + 5 * minute, '8h'],
    [47 * hour, '47h'],
    [2 * day + hour, '2d1h'],
    [8 * day + hour, '8d'],
    [729 * day, '729d'],
    [800 * day, '2y70d'],
    [9 * 365 * day, '9y'],
  ]
  for (const [ms, text] of cases) assert.equal(humanDuration(ms), text)
})

test('a JSON patch does what RFC 6902 says', () => {
  const target = { a: { b: 1 }, list: [1, 2, 3], 'x/y': 0 }
  const apply = (...patch: Parameters<typeof applyJsonPatch>[1][]) => applyJsonPatch(target, patch)
  assert.deepEqual(apply({ op: 'add', path: '/a/c', value: 2 }), { ...target, a: { b: 1, c: 2 } })
  assert.deepEqual(apply({ op: 'add', path: '/list/1', value: 9 }), {
    ...target,
    list: [1, 9, 2, 3],
  })
  assert.deepEqual(apply({ op: 'add', path: '/list/-', value: 9 }), {
    ...target,
    list: [1, 2, 3, 9],
  })
  assert.deepEqual(apply({ op: 'remove', path: '/list/0' }), { ...target, list: [2, 3] })
  assert.deepEqual(apply({ op: 'replace', path: '/x~1y', value: 5 }), { ...target, 'x/y': 5 })
  assert.deepEqual(apply({ op: 'move', from: '/a/b', path: '/m' }), { ...target, a: {}, m: 1 })
  assert.deepEqual(apply({ op: 'copy', from: '/a', path: '/n' }), { ...target, n: { b: 1 } })
  assert.deepEqual(apply({ op: 'test', path: '/a', value: { b: 1 } }), target)
  assert.deepEqual(target, { a: { b: 1 }, list: [1, 2, 3], 'x/y': 0 })
  const refused: Parameters<typeof applyJsonPatch>[1][] = [
    { op: 'test', path: '/a', value: { b: 2 } },
    { op: 'remove', path: '/none' },
    { op: 'replace', path: '/none', value: 1 },
    { op: 'add', path: '/list/5', value: 1 },
    { op: 'add', path: '/none/deeper', value: 1 },
    { op: 'add', path: '/a/__proto__', value: {} },
    { op: 'add', path: 'a', value: 1 },
    { op: 'add', path: '/a' },
    { op: 'grow', path: '/a' },
    7,
  ]
  for (const operation of refused) assert.throws(() => apply(operation), { status: 422 })
  assert.throws(() => applyJsonPatch(target, {}), { status: 400 })
  assert.throws(() => applyJsonPatch(target, Array(10_001).fill(refused[0])), { status: 413 })
  const hidden = { op: 'add', path: '/a/x', value: JSON.parse('{"__proto__":1}') }
  assert.throws(() => apply(hidden), { code: 'JSON_DANGEROUS_KEY' })
})
