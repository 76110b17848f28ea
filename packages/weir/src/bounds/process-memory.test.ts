import assert from 'node:assert/strict'
import test from 'node:test'
import { ManualClock } from '../runtime/index.ts'
import {
  forceCollection,
  giveMemoryBack,
  Pressure,
  ProcessMemory,
  type ProcessReadings,
  planMemory,
  readProcess,
  term,
} from './index.ts'

const GIB = 2 ** 30
const plan = planMemory([], { limitBytes: GIB })

/** A process whose memory the test sets, and whose garbage a collection removes. */
function fake() {
  const clock = new ManualClock()
  const pressure = new Pressure({ accountBytesMax: 100 })
  const state = { live: 0, garbage: 0, collections: 0 }
  const read = (): ProcessReadings => ({
    oldSpaceBytes: state.live + state.garbage,
    oldSpaceLimitBytes: 100,
    arrayBuffersBytes: 0,
    arrayBuffersLimitBytes: 100,
    workingSetBytes: 0,
    limitBytes: 100,
  })
  const collect = () => {
    state.collections++
    state.garbage = 0
  }
  const memory = new ProcessMemory({ plan, pressure, clock, read, collect })
  return { clock, pressure, state, memory }
}

test('garbage does not raise the level: a reading that would is checked after a collection', () => {
  const { memory, pressure, state } = fake()
  state.live = 50
  state.garbage = 49
  memory.sample()
  assert.equal(state.collections, 1)
  assert.equal(pressure.level, 0)
  state.live = 86
  memory.sample()
  assert.equal(pressure.level, 0, 'a second collection within ten seconds is not forced')
  assert.equal(state.collections, 1)
})

test('what is live raises the level after the collection, with its source named', () => {
  const { memory, pressure, state } = fake()
  state.live = 86
  memory.sample()
  assert.equal(state.collections, 1)
  assert.equal(pressure.level, 2)
  assert.deepEqual(pressure.causes[1], { source: 'old-space', used: 86, limit: 100 })
})

test('collections are forced at most every ten seconds, and none while nothing asks for a rise', () => {
  const { clock, memory, pressure, state } = fake()
  state.live = 72
  memory.sample()
  state.live = 96
  for (let second = 1; second < 10; second++) {
    clock.advance(1_000)
    memory.sample()
    assert.equal(pressure.level, 1)
  }
  assert.equal(state.collections, 1)
  clock.advance(1_000)
  memory.sample()
  assert.equal(pressure.level, 3)
  assert.equal(state.collections, 2)
  for (let second = 0; second < 30; second++) {
    clock.advance(1_000)
    memory.sample()
  }
  assert.equal(state.collections, 2, 'a level that is held asks for nothing')
})

test('a lower reading counts at once', () => {
  const { memory, pressure, state } = fake()
  state.live = 96
  memory.sample()
  state.live = 10
  memory.sample()
  assert.equal(pressure.level, 0)
  assert.equal(state.collections, 1)
})

test('each of the three readings can raise the level', () => {
  const clock = new ManualClock()
  const quiet = {
    oldSpaceBytes: 0,
    oldSpaceLimitBytes: 100,
    arrayBuffersBytes: 0,
    arrayBuffersLimitBytes: 100,
    workingSetBytes: 0,
    limitBytes: 100,
  }
  for (const field of ['oldSpaceBytes', 'arrayBuffersBytes', 'workingSetBytes'] as const) {
    const pressure = new Pressure({ accountBytesMax: 100 })
    const read = () => ({ ...quiet, [field]: 90 })
    new ProcessMemory({ plan, pressure, clock, read, collect() {} }).sample()
    assert.equal(pressure.level, 2, field)
  }
})

test('the real readings make sense, and large objects and buffers are in them', () => {
  const before = readProcess(plan, () => undefined)
  assert.ok(before.oldSpaceBytes > 2 ** 20 && before.oldSpaceBytes < before.oldSpaceLimitBytes)
  assert.ok(before.workingSetBytes > 10 * 2 ** 20)
  assert.equal(before.limitBytes, GIB)
  const large = new Array(4 * 2 ** 20).fill(0) // 32 MiB in the space for large objects
  const buffer = new Uint8Array(16 * 2 ** 20)
  forceCollection()
  const after = readProcess(plan, () => undefined)
  assert.ok(after.oldSpaceBytes - before.oldSpaceBytes > 24 * 2 ** 20)
  assert.ok(after.arrayBuffersBytes - before.arrayBuffersBytes > buffer.length - 2 ** 20)
  assert.equal(large.length, 4 * 2 ** 20)
})

test('planned buffers raise the share that array buffers may have', () => {
  const buffers = term({
    name: 'test.buffers',
    why: 'a',
    arena: 'buffers',
    payloadBytesMax: 2 ** 28,
  })
  const full = planMemory([buffers], { limitBytes: 2 ** 28 + 1_000 })
  const share = readProcess(full, () => undefined).arrayBuffersLimitBytes
  assert.ok(share > 1.1 * 2 ** 28 && share < 1.2 * 2 ** 28)
})

test('the working set is that of the cgroup which limits us, else the resident set', () => {
  const files: Record<string, string> = {
    '/sys/fs/cgroup/memory.max': String(GIB),
    '/sys/fs/cgroup/memory.current': '500000000',
    '/sys/fs/cgroup/memory.stat': 'anon 7\nfile 8\ninactive_file 100000000\n',
  }
  const read = (path: string) => files[path]
  assert.equal(readProcess(plan, read).workingSetBytes, 400_000_000)
  const smaller = planMemory([], { limitBytes: GIB / 4 })
  const rss = readProcess(smaller, read).workingSetBytes
  assert.notEqual(rss, 400_000_000, 'a group with more room may hold other processes')
  assert.ok(rss > 10 * 2 ** 20)
})

test('what is given back leaves no pages that are nearly empty, unlike a plain collection', () => {
  const heapBytes = () => process.memoryUsage().heapTotal
  giveMemoryBack()
  const before = heapBytes()
  let all: object[] = []
  for (let at = 0; at < 200_000; at++) all.push({ at, list: [at] })
  forceCollection()
  // Each page keeps a few objects, so that none of them is empty by itself.
  const kept = all.filter((_, at) => at % 100 === 0)
  all = []
  giveMemoryBack()
  assert.ok(heapBytes() - before < 2 * 2 ** 20)
  assert.equal(kept.length, 2_000)
})
