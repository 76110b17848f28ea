import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ROOT } from './files.ts'

interface Manifest {
  readonly name: string
  readonly version: string
  readonly private?: boolean
  readonly license?: string
  readonly type?: string
  readonly files?: readonly string[]
  readonly engines?: Readonly<Record<string, string>>
  readonly bin?: Readonly<Record<string, string>>
  readonly scripts?: Readonly<Record<string, string>>
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

const PUBLISHED = ['weir', 'iroh', 'mesh-controller'] as const

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')) as Manifest
}

const published = PUBLISHED.map(
  (name) => [`packages/${name}`, manifestOf(`packages/${name}`)] as const,
)
const all = [...published, ['.', manifestOf('.')] as const, ['tools', manifestOf('tools')] as const]

for (const [folder, manifest] of published) {
  test(`${folder} says what it needs and under which licence`, () => {
    assert.equal(manifest.private, undefined)
    assert.equal(manifest.type, 'module')
    assert.equal(manifest.license, '(MIT OR Apache-2.0)')
    assert.deepEqual(manifest.engines, { node: '>=24' })
    assert.equal(manifest.scripts, undefined, 'no script runs on installation')
    for (const file of ['dist', 'README.md', 'LICENSE-MIT', 'LICENSE-APACHE']) {
      assert.ok(manifest.files?.includes(file), `${file} is not packed`)
    }
    assert.ok(existsSync(join(ROOT, folder, 'README.md')), `${folder}/README.md is missing`)
  })

  test(`every export of ${folder} leads to a source and to what is compiled from it`, () => {
    for (const [path, target] of Object.entries(manifest.exports ?? {})) {
      if (typeof target === 'string') {
        assert.ok(existsSync(join(ROOT, folder, target)), `${path}: ${target} is missing`)
        continue
      }
      assert.deepEqual(Object.keys(target), ['weir-source', 'types', 'default'], path)
      const source = target['weir-source'] as string
      assert.ok(existsSync(join(ROOT, folder, source)), `${path}: ${source} is missing`)
      const stem = source.replace('./src/', './dist/').replace(/\.ts$/, '')
      assert.deepEqual([target.types, target.default], [`${stem}.d.ts`, `${stem}.js`], path)
    }
  })

  test(`every command of ${folder} is an executable file that is packed`, () => {
    for (const [name, file] of Object.entries(manifest.bin ?? {})) {
      const path = join(ROOT, folder, file)
      assert.match(readFileSync(path, 'utf8'), /^#!\/usr\/bin\/env node\n/, name)
      assert.notEqual(statSync(path).mode & 0o111, 0, `${name} is not executable`)
      assert.ok(manifest.files?.includes('bin'))
    }
  })
}

test('the published packages have one version and ask for each other by it', () => {
  const versions = new Set(published.map(([, { version }]) => version))
  assert.equal(versions.size, 1)
  const names = published.map(([, { name }]) => name)
  for (const [folder, { dependencies, peerDependencies }] of published) {
    for (const [name, version] of Object.entries({ ...dependencies, ...peerDependencies })) {
      if (names.includes(name))
        assert.ok(versions.has(version), `${folder} asks for ${name} ${version}`)
    }
  }
})

test('every dependency is pinned to one version', () => {
  for (const [folder, manifest] of all) {
    const { dependencies, devDependencies, optionalDependencies, peerDependencies } = manifest
    for (const group of [dependencies, devDependencies, optionalDependencies, peerDependencies]) {
      for (const [name, version] of Object.entries(group ?? {})) {
        assert.match(version, /^\d+\.\d+\.\d+$/, `${folder}: ${name}`)
      }
    }
  }
})

test('private members have no engines, so that npm warns about nothing it cannot change', () => {
  for (const folder of ['.', 'tools']) assert.equal(manifestOf(folder).engines, undefined)
})

test('packages with binaries for each platform are not declared in the root', () => {
  const root = manifestOf('.')
  const declared = Object.keys({ ...root.dependencies, ...root.devDependencies })
  for (const name of ['@biomejs/biome', 'knip', '@number0/iroh']) {
    assert.ok(!declared.includes(name), `npm ci would fail where ${name} is incomplete`)
  }
})

test('every dependency is in the table of docs/dependencies.md', () => {
  const table = readFileSync(join(ROOT, 'docs/dependencies.md'), 'utf8')
  for (const [folder, manifest] of all) {
    const { dependencies, devDependencies, optionalDependencies } = manifest
    for (const [name, version] of Object.entries({
      ...dependencies,
      ...devDependencies,
      ...optionalDependencies,
    })) {
      if (/^weir-/.test(name)) continue
      assert.ok(table.includes(`| \`${name}\` | ${version} |`), `${folder}: ${name} ${version}`)
    }
  }
})
