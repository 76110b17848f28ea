import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ROOT } from './files.ts'
import { complete, gapsOf, type Lock, problemsOf } from './lock.ts'

/** A lock file in which `tool` wants platform packages and only one of them is there. */
const INCOMPLETE: Lock = {
  lockfileVersion: 3,
  packages: {
    '': {},
    'node_modules/tool': {
      version: '1.0.0',
      integrity: 'sha512-a',
      dev: true,
      optionalDependencies: {
        '@tool/linux-x64': '1.0.0',
        '@tool/linux-x64-musl': '1.0.0',
        '@tool/binding-linux-arm-gnueabihf': '1.0.0',
        '@tool/win32-arm64-msvc': '1.0.0',
        '@tool/binding-wasm32-wasi': '1.0.0',
      },
    },
    'node_modules/@tool/linux-x64': {
      version: '1.0.0',
      integrity: 'sha512-b',
      optional: true,
      os: ['linux'],
      cpu: ['x64'],
    },
  },
}

test('the lock file of the workspace holds every platform and no host', () => {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as Lock
  assert.deepEqual(problemsOf(lock), [])
})

test('the lock file of the workspace carries a Node for each platform of the wrapper', () => {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as Lock
  const launcher = readFileSync(join(ROOT, 'packages/weir/bin/launch.js'), 'utf8')
  const names = [...launcher.matchAll(/'[a-z]+-[a-z0-9]+': '(node-[a-z0-9-]+)'/g)].map(([, n]) => n)
  assert.equal(names.length, 3)
  for (const name of names) {
    const entry = lock.packages[`node_modules/${name}`]
    assert.match(entry?.integrity ?? '', /^sha512-/, `${name} is not pinned by integrity`)
    assert.equal(entry?.version, lock.packages['']?.optionalDependencies?.[name as string])
  }
})

test('a gap is found and filled with the platform that its name tells', () => {
  assert.equal(gapsOf(INCOMPLETE).length, 4)
  const { packages } = complete(INCOMPLETE)
  assert.deepEqual(packages['node_modules/@tool/linux-x64-musl'], {
    version: '1.0.0',
    cpu: ['x64'],
    libc: ['musl'],
    os: ['linux'],
    dev: true,
    optional: true,
  })
  const arm = packages['node_modules/@tool/binding-linux-arm-gnueabihf']
  assert.deepEqual([arm?.os, arm?.cpu, arm?.libc], [['linux'], ['arm'], ['glibc']])
  const windows = packages['node_modules/@tool/win32-arm64-msvc']
  assert.deepEqual([windows?.os, windows?.cpu, windows?.libc], [['win32'], ['arm64'], undefined])
  const wasm = packages['node_modules/@tool/binding-wasm32-wasi']
  assert.deepEqual([wasm?.os, wasm?.cpu], [undefined, ['wasm32']])
})

test('what is there stays as it is, and a second run adds nothing', () => {
  const once = complete(INCOMPLETE)
  const there = 'node_modules/@tool/linux-x64'
  assert.deepEqual(once.packages[there], INCOMPLETE.packages[there])
  assert.deepEqual(gapsOf(once), [])
  assert.deepEqual(complete(once), once)
})

test('a package that is nested or hoisted counts as there', () => {
  const there = { version: '1.0.0', integrity: 'sha512-c' }
  const wants = { ...there, optionalDependencies: { '@a/linux-x64': '1.0.0' } }
  for (const place of ['node_modules/b/node_modules/@a/linux-x64', 'node_modules/@a/linux-x64']) {
    const packages = { 'node_modules/b/node_modules/a': wants, [place]: there }
    assert.deepEqual(gapsOf({ lockfileVersion: 3, packages }), [])
  }
})

test('a gap is filled beside the package that wants it', () => {
  const wants = { version: '1.0.0', optionalDependencies: { '@a/linux-x64': '1.0.0' } }
  const packages = { 'node_modules/b/node_modules/a': wants }
  assert.deepEqual(Object.keys(complete({ lockfileVersion: 3, packages }).packages), [
    'node_modules/b/node_modules/@a/linux-x64',
    'node_modules/b/node_modules/a',
  ])
})

test('a name that tells no platform is refused rather than guessed', () => {
  const packages = { 'node_modules/a': { optionalDependencies: { 'a-native': '1.0.0' } } }
  assert.throws(() => complete({ lockfileVersion: 3, packages }), /a-native cannot be read/)
})

test('a host, a missing integrity and another version of the format are problems', () => {
  const host = { version: '1.0.0', integrity: 'x', resolved: 'https://registry.example/a.tgz' }
  const problems = problemsOf({
    lockfileVersion: 2,
    packages: { 'node_modules/a': host, 'node_modules/b': { version: '1.0.0' } },
  })
  assert.deepEqual(problems, [
    'lockfileVersion is 2, not 3',
    'node_modules/a names the host it came from: https://registry.example/a.tgz',
    'node_modules/b has no integrity',
  ])
})
