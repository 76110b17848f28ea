import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { cgroupWorkingSet, findCgroup } from './cgroup.ts'
import { DEFAULT_LIMIT_BYTES, findMemoryLimit, parseBytes } from './index.ts'

const reader = (files: Record<string, string>) => (path: string) =>
  Object.hasOwn(files, path) ? files[path] : undefined

const cgroup = (files: Record<string, string>) => findMemoryLimit(undefined, reader(files))

test('the option wins over everything', () => {
  const files = { '/sys/fs/cgroup/memory.max': '1000' }
  assert.deepEqual(findMemoryLimit(5_000, reader(files)), { bytes: 5_000, source: 'option' })
})

test('without option and cgroup limit it is 256 MiB, whatever the machine has', () => {
  assert.deepEqual(cgroup({}), { bytes: DEFAULT_LIMIT_BYTES, source: 'default' })
  assert.equal(DEFAULT_LIMIT_BYTES, 256 * 1024 * 1024)
  assert.equal(cgroup({ '/sys/fs/cgroup/memory.max': 'max\n' }).source, 'default')
})

test('v2: the limit of the own group', () => {
  const files = {
    '/proc/self/cgroup': '0::/system.slice/weir.service\n',
    '/sys/fs/cgroup/system.slice/weir.service/memory.max': '209715200\n',
  }
  assert.deepEqual(cgroup(files), { bytes: 209_715_200, source: 'cgroup' })
})

test('v2: a tighter group above counts, a wider one does not', () => {
  const files: Record<string, string> = {
    '/proc/self/cgroup': '0::/a/b/c\n',
    '/sys/fs/cgroup/a/b/c/memory.max': '3000',
    '/sys/fs/cgroup/a/b/memory.max': 'max',
    '/sys/fs/cgroup/a/memory.max': '2000',
  }
  assert.equal(cgroup(files).bytes, 2000)
  files['/sys/fs/cgroup/memory.max'] = '1000'
  assert.equal(cgroup(files).bytes, 1000)
})

test('v2 in a container: the own path does not exist, the mount point is the container', () => {
  const files = {
    '/proc/self/cgroup': '0::/kubepods/burstable/pod1/container2\n',
    '/sys/fs/cgroup/memory.max': '104857600\n',
  }
  assert.equal(cgroup(files).bytes, 104_857_600)
})

test('v1: the memory controller, alone or with others, and "no limit" is none', () => {
  for (const controllers of ['memory', 'cpu,memory', 'memory,hugetlb']) {
    const files = {
      '/proc/self/cgroup': `9:cpuset:/x\n4:${controllers}:/docker/abc\n0::/y\n`,
      '/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes': '150000000\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    }
    assert.deepEqual(cgroup(files), { bytes: 150_000_000, source: 'cgroup' }, controllers)
  }
  const none = { '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712' }
  assert.equal(cgroup(none).source, 'default')
})

test('v1 in a container: the file at the mount point', () => {
  const files = {
    '/proc/self/cgroup': '4:memory:/kubepods/pod1\n',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': '150000000\n',
  }
  assert.equal(cgroup(files).bytes, 150_000_000)
})

test('whatever the files hold, a limit is a positive number or there is none', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (own, limit) => {
      const files = { '/proc/self/cgroup': own, '/sys/fs/cgroup/memory.max': limit }
      const { bytes, source } = cgroup(files)
      assert.ok(bytes > 0)
      if (!/^\s*\d+\s*$/.test(limit)) assert.equal(source, 'default')
    }),
  )
  assert.equal(cgroup({ '/sys/fs/cgroup/memory.max': '0' }).source, 'default')
})

test('the working set is the usage less the file pages that can go', () => {
  const v2 = {
    '/sys/fs/cgroup/memory.max': '1000',
    '/sys/fs/cgroup/memory.current': '900\n',
    '/sys/fs/cgroup/memory.stat': 'anon 1\ninactive_file 300\n',
  }
  assert.equal(cgroupWorkingSet(findCgroup(reader(v2))!, reader(v2)), 600)
  const v1 = {
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': '1000',
    '/sys/fs/cgroup/memory/memory.usage_in_bytes': '900\n',
    '/sys/fs/cgroup/memory/memory.stat': 'inactive_file 1\ntotal_inactive_file 200\n',
  }
  assert.equal(cgroupWorkingSet(findCgroup(reader(v1))!, reader(v1)), 700)
  const group = { version: 2, folder: '/g', limitBytes: 1 } as const
  assert.equal(cgroupWorkingSet(group, reader({ '/g/memory.current': '5' })), 5)
  assert.equal(cgroupWorkingSet(group, reader({})), undefined)
})

test('sizes are read as Kubernetes writes them', () => {
  const sizes: [string | number, number][] = [
    ['200Mi', 200 * 2 ** 20],
    ['1Gi', 2 ** 30],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['64Ki', 65_536],
    ['500M', 5e8],
    ['2G', 2e9],
    ['3k', 3_000],
    ['1234', 1_234],
    [1_234, 1_234],
    [' 1Mi ', 2 ** 20],
  ]
  for (const [text, bytes] of sizes) assert.equal(parseBytes(text), bytes, `${text}`)
})

test('anything else is SIZE_INVALID with an example, and the text is cut', () => {
  const wrong = ['', 'Mi', '1 Mi', '-1', '1e3', '0', '0.1', '0Mi', '1mi', '1MiB', '1K', '1,5Gi']
  const more = [
    '9999999999Gi',
    '1Mi\nx',
    '0x10',
    'toString',
    '1__proto__',
    Number.NaN,
    -5,
    Infinity,
  ]
  for (const text of [...wrong, ...more]) {
    assert.throws(
      () => parseBytes(text),
      { code: 'SIZE_INVALID', message: /for example 200Mi/ },
      `${text}`,
    )
  }
  assert.throws(
    () => parseBytes('9'.repeat(100_000)),
    (error: Error) => error.message.length < 200,
  )
})
