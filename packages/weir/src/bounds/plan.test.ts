import assert from 'node:assert/strict'
import test from 'node:test'
import {
  formatBytes,
  formatPlan,
  MAP_NODE_BYTES,
  planMemory,
  pool,
  tableBytes,
  term,
  termBytes,
} from './index.ts'

const MIB = 2 ** 20
const map = term({
  name: 'test.map',
  why: 'entries of a map',
  table: 'map',
  instancesMax: 2,
  entriesMax: 1_000,
  shellBytes: MAP_NODE_BYTES,
  payloadBytesMax: 5_000,
})
const shared = pool({
  name: 'test.pool',
  why: 'shared bytes',
  arena: 'buffers',
  payloadBytesMax: MIB,
})
const member = term({
  name: 'test.member',
  why: 'draws on the pool',
  arena: 'buffers',
  instancesMax: 10,
  payloadBytesMax: MIB,
  pool: shared,
})

test('a term costs its instances times table, shells and payload', () => {
  assert.equal(termBytes(map), 2 * (tableBytes(1_000, 'map') + 1_000 * MAP_NODE_BYTES + 5_000))
})

test('a pool pays for its members once and comes into the plan with them', () => {
  const plan = planMemory([member, member], { limitBytes: 2 * MIB })
  assert.deepEqual(
    plan.rows.map(({ term: { name }, bytes }) => [name, bytes]),
    [
      ['test.member', 10 * tableBytes(0, 'none')],
      ['test.pool', MIB + tableBytes(0, 'none')],
    ],
  )
  assert.equal(plan.accountBytes, MIB + 11 * tableBytes(0, 'none'))
})

test('a library plans its accounts and owns no flags', () => {
  const plan = planMemory([map], { limitBytes: MIB })
  assert.equal(plan.totalBytes, termBytes(map))
  assert.equal(plan.garbageBytes, 0)
  assert.deepEqual(plan.v8Flags, [])
})

test('a program plans its floor and garbage, and gets the flags that hold it to the limit', () => {
  const limitBytes = 200 * MIB
  const plan = planMemory([map, member], { limitBytes, floorBytes: 60 * MIB })
  const buffers = MIB + 11 * tableBytes(0, 'none')
  assert.equal(
    plan.garbageBytes,
    3 * 4 * MIB + Math.ceil(termBytes(map) / 2) + Math.ceil(buffers / 8),
  )
  assert.equal(plan.totalBytes, 60 * MIB + plan.accountBytes + plan.garbageBytes)
  const [old, semi] = plan.v8Flags
  assert.equal(semi, '--max-semi-space-size=4')
  const oldMiB = Number(/^--max-old-space-size=(\d+)$/.exec(old!)?.[1])
  assert.ok(oldMiB * MIB >= termBytes(map) * 1.5 + 21 * MIB)
  assert.ok(oldMiB * MIB < limitBytes)
  const small = planMemory([], { limitBytes: 100 * MIB, floorBytes: 60 * MIB })
  assert.equal(small.v8Flags[1], '--max-semi-space-size=1')
})

test('a plan that does not fit is refused with the largest rows, the sum and what to do', () => {
  const rows = [1, 2, 3, 4].map((size) =>
    term({ name: `test.row-${size}`, why: 'a row', payloadBytesMax: size * MIB }),
  )
  const fits = 10 * MIB + 4 * tableBytes(0, 'none')
  planMemory(rows, { limitBytes: fits })
  assert.throws(() => planMemory(rows, { limitBytes: fits - 1 }), {
    code: 'PLAN_TOO_LARGE',
    message:
      /needs 10\.0 MiB .*test\.row-4 4\.0 MiB, test\.row-3 3\.0 MiB, test\.row-2 2\.0 MiB.*raise/,
    limit: { scope: 'plan', limit: fits - 1, used: 0, wanted: fits },
  })
  assert.throws(
    () => planMemory([], { limitBytes: MIB, floorBytes: 60 * MIB }),
    /program itself 60\.0 MiB/,
  )
})

test('two different terms of one name are refused', () => {
  assert.throws(() => planMemory([map, term({ ...map })], { limitBytes: MIB }), {
    code: 'PLAN_INVALID',
    message: /'test\.map'/,
  })
})

test('a limit that is no number is a mistake', () => {
  for (const limitBytes of [0, -1, Number.NaN]) {
    assert.throws(() => planMemory([map], { limitBytes }), /the memory limit is/)
  }
})

test('the printed plan has a line for each row, largest first, and the sums', () => {
  const lines = formatPlan(
    planMemory([map, member], { limitBytes: 200 * MIB, floorBytes: MIB }),
  ).split('\n')
  assert.match(lines[0]!, /^ {2}test\.pool +1\.0 MiB {2}shared bytes$/)
  assert.match(lines[1]!, /^ {2}test\.map +\d/)
  assert.match(lines[2]!, /^ {2}test\.member +\d/)
  assert.match(lines[3]!, /^ {2}-+$/)
  assert.deepEqual(
    lines.slice(4).map((line) => line.trim().split(/ +/)[0]),
    ['accounts', 'program', 'garbage', 'total'],
  )
  assert.match(lines[7]!, /of 200\.0 MiB$/)
})

test('rows beyond the asked number are summed in one line, and the sums stay', () => {
  const terms = [1, 2, 3, 4].map((at) =>
    term({ name: `test.t${at}`, why: 'a test', payloadBytesMax: at * MIB }),
  )
  const plan = planMemory(terms, { limitBytes: 200 * MIB })
  const lines = formatPlan(plan, { rowsMax: 2 }).split('\n')
  assert.match(lines[0]!, /test\.t4/)
  assert.match(lines[1]!, /test\.t3/)
  assert.match(lines[2]!, /2 more +3\.0 MiB/)
  assert.match(lines[4]!, /accounts +10\.0 MiB/)
  assert.equal(formatPlan(plan, { rowsMax: 3 }).split('\n').length, 7)
})

test('bytes are written in the unit that fits', () => {
  assert.equal(formatBytes(17), '17 B')
  assert.equal(formatBytes(4_096), '4.0 KiB')
  assert.equal(formatBytes(12.34 * MIB), '12.3 MiB')
})

test('a term is checked when it is made', () => {
  const good = { name: 'area.thing', why: 'a test' }
  for (const name of ['', 'Area', 'area..x', 'area.', '.x', 'a b', 'area.x_y']) {
    assert.throws(() => term({ ...good, name }), /not of the form/, name)
  }
  for (const field of ['instancesMax', 'entriesMax', 'shellBytes', 'payloadBytesMax']) {
    for (const value of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      assert.throws(() => term({ ...good, [field]: value }), new RegExp(field))
    }
  }
  assert.throws(() => term({ ...good, pool: member }), /no pool of its own/)
  assert.ok(Object.isFrozen(term(good)))
  assert.partialDeepStrictEqual(term(good), {
    arena: 'heap',
    instancesMax: 1,
    entriesMax: 0,
    table: 'none',
    overflow: 'refuse',
    shedAt: 3,
  })
})

test('tables grow in powers of two, from four on', () => {
  for (const table of ['map', 'ring'] as const) {
    assert.equal(tableBytes(0, table), tableBytes(4, table))
    assert.equal(tableBytes(1_000, table), tableBytes(1_024, table))
    assert.ok(tableBytes(1_025, table) > 1.9 * tableBytes(1_024, table))
  }
  assert.equal(tableBytes(4, 'slab'), tableBytes(4_096, 'slab'))
  assert.equal(tableBytes(4, 'none'), tableBytes(4_096, 'none'))
})
