import assert from 'node:assert/strict'
import test from 'node:test'
import { Exposition } from './exposition.ts'

test('a family has help, type, prefix and its lines', () => {
  const exposition = new Exposition(1_000, 'weir_')
  exposition.family('things', 'gauge', 'Some\nthings.', [
    { labels: [['kind', 'a']], value: 1 },
    { labels: [['kind', 'b']], value: 2.5 },
  ])
  exposition.value('plain_total', 'counter', 'One.', 3, '')
  assert.equal(
    exposition.text,
    '# HELP weir_things Some\\nthings.\n# TYPE weir_things gauge\n' +
      'weir_things{kind="a"} 1\nweir_things{kind="b"} 2.5\n' +
      '# HELP plain_total One.\n# TYPE plain_total counter\nplain_total 3\n',
  )
})

test('label values are escaped and cut, so that none can start a line', () => {
  const exposition = new Exposition(10_000)
  const value = `a"b\\c\nd\u202e${'x'.repeat(500)}`
  exposition.family('odd', 'gauge', 'h', [{ labels: [['l', value]], value: 1 }])
  const line = exposition.text.split('\n')[2]!
  assert.match(line, /^odd\{l="a\\"b\\\\c\\nd\?x+"\} 1$/)
  assert.ok(line.length < 200)
  assert.equal(exposition.text.split('\n').length, 4)
})

test('a family without lines is not written', () => {
  const exposition = new Exposition(100)
  exposition.family('none', 'gauge', 'h', [])
  assert.equal(exposition.text, '')
})

test('a family that does not fit is left out whole, counted, and the next one is written', () => {
  const exposition = new Exposition(150)
  const many = Array.from({ length: 100 }, (_, value) => ({ value }))
  exposition.family('many', 'gauge', 'h', many)
  exposition.value('one', 'gauge', 'h', 1)
  assert.equal(exposition.leftOut, 1)
  assert.match(exposition.text, /^# HELP one h\n# TYPE one gauge\none 1\n$/)
  exposition.value('long', 'gauge', 'h'.repeat(200), 1)
  assert.equal(exposition.leftOut, 2)
})

test('infinities are written as Prometheus reads them, and what is no number is a bug', () => {
  const exposition = new Exposition(1_000)
  exposition.value('up', 'gauge', 'h', Number.POSITIVE_INFINITY)
  exposition.value('down', 'gauge', 'h', Number.NEGATIVE_INFINITY)
  assert.match(exposition.text, /up \+Inf\n/)
  assert.match(exposition.text, /down -Inf\n/)
  assert.throws(() => exposition.value('no', 'gauge', 'h', '1' as unknown as number), /number/)
  assert.throws(() => exposition.value('No-Name', 'gauge', 'h', 1), /metric name/)
})
