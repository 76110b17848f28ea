import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Finding, RULES, tidy, tidyCheckout, tidyFiles } from './index.ts'

const files = tidyFiles()
const findings = tidyCheckout()

test('the walk sees the sources of the checkout', () => {
  for (const path of ['packages/weir/src/runtime/index.ts', 'tools/with-node.js', 'package.json']) {
    assert.ok(files.includes(path), path)
  }
  assert.ok(!files.some((path) => path.includes('node_modules')))
})

for (const rule of RULES) {
  test(`the checkout keeps the rule "${rule}"`, () => {
    const broken = findings.filter((finding) => finding.rule === rule)
    assert.deepEqual(broken.map(print), [])
  })
}

function print({ path, line, message }: Finding): string {
  return `${path}:${line} ${message}`
}

/** The rules that a text breaks, each as often as it does. */
function broken(path: string, text: string): string[] {
  return tidy(path, text).map(({ rule }) => rule)
}

/** Texts that a rule refuses, and near ones that it lets through; the path is part of it. */
function rule(
  name: string,
  refused: readonly (readonly [string, string])[],
  kept: readonly (readonly [string, string])[],
): void {
  for (const [path, text] of refused) {
    test(`${name} refuses in ${path}: ${title(text)}`, () => {
      assert.deepEqual(broken(path, text), [name])
    })
  }
  for (const [path, text] of kept) {
    test(`${name} keeps in ${path}: ${title(text)}`, () => {
      assert.deepEqual(broken(path, text), [])
    })
  }
}

/** One line of a text, short enough for a name. */
function title(text: string): string {
  return JSON.stringify(text.slice(0, 80))
}

const SYNC = 'packages/weir/src/sync/a.ts'
const SYNC_TEST = 'packages/weir/src/sync/a.test.ts'
const API = 'packages/mesh-controller/src/api-server/a.ts'

rule(
  'layers',
  [
    [SYNC, "import { a } from '../topics/index.ts'"],
    [SYNC, "import type { A } from '../topics/index.ts'"],
    [SYNC, "import type {\n  A,\n  B,\n} from '../topics/index.ts'"],
    [SYNC, "import type * as topics from '../topics/index.ts'"],
    [SYNC, "import { type A } from '../topics/index.ts'"],
    [SYNC, "export { a } from '../topics/index.ts'"],
    [SYNC, "export type { A } from '../topics/index.ts'"],
    [SYNC, "export * from '../topics/index.ts'"],
    [SYNC, "const a = await import('../topics/index.ts')"],
    [SYNC, "let a: import('../topics/index.ts').A"],
    [SYNC, "import { a } from '../bounds/account.ts'"],
    [SYNC, "import { a } from '../odd/index.ts'"],
    [SYNC, "import { a } from '../../../iroh/src/index.ts'"],
    [SYNC, "import { a } from 'weir-mesh/bounds'"],
    [SYNC, "import { a } from 'weir-mesh-controller/kube'"],
    [SYNC_TEST, "import { a } from '../bounds/account.ts'"],
    [SYNC, "import { a } from '../../testing/index.ts'"],
    [SYNC, "import { a } from './session.suite.ts'"],
    ['packages/iroh/src/a.ts', "import { a } from 'weir-mesh-controller/kube'"],
    ['packages/weir/src/index.ts', "export * from './sync/session.ts'"],
    ['packages/mesh-controller/src/kube/a.ts', "import { a } from '../app/index.ts'"],
    [API, "import { a } from 'weir-mesh/sync'"],
    [API, "import { a } from 'weir-mesh'"],
    [API, "import { a } from 'weir-mesh-iroh'"],
  ],
  [
    [SYNC, "import { a } from '../bounds/index.ts'\nimport { b } from './b.ts'"],
    [SYNC, "// import { a } from '../topics/index.ts'"],
    [SYNC, "const a = await import('weir-mesh-iroh')"],
    [SYNC, "import { Command } from 'commander'\nexport type A = { from: '../topics/index.ts' }"],
    [SYNC_TEST, "import { a } from '../topics/index.ts'\nimport { b } from '../store/testing.ts'"],
    [SYNC_TEST, "import { a } from '../../testing/index.ts'"],
    ['packages/iroh/src/a.test.ts', "import { a } from '../../weir/testing/index.ts'"],
    ['packages/iroh/src/a.test.ts', "import { a } from '../../weir/src/transport/conformance.ts'"],
    [SYNC_TEST, "import vectors from '../../vectors/a.json' with { type: 'json' }"],
    ['packages/weir/src/index.ts', "export { a } from './sync/index.ts'"],
    ['packages/iroh/src/a.ts', "import { a } from 'weir-mesh/transport'"],
    [API, "import { a } from 'weir-mesh/bounds'\nimport { b } from '../kube/index.ts'"],
    ['packages/mesh-controller/src/mesh/a.ts', "import { a } from 'weir-mesh/sync'"],
  ],
)

rule(
  'containers',
  [
    [SYNC, 'class A { readonly #a = new Map<string, number>() }'],
    [SYNC, 'class A { a = new Set() }'],
    [SYNC, 'class A { static a: string[] = [] }'],
    [SYNC, 'class A { #a: (string | undefined)[]\n #b = 1 }'],
    [SYNC, 'class A { #a: Map<string, number>\n #b = 1 }'],
    [SYNC, 'class A { #a: A | Set<string> | undefined }'],
    [SYNC, 'class A { #a: string |\n  string[] }'],
    [SYNC, 'class A { constructor() { this.a = [] } }'],
    [SYNC, 'class A { a(b) { this.c = b ?? new Map() } }'],
    [SYNC, 'class A { #a = Array.from({ length: 3 }) }'],
    [SYNC, 'class A { #a = Object.freeze(new Map()) }'],
    [SYNC, 'const a = new Map<string, number>()'],
    [SYNC, 'export const a: string[] = []'],
    [SYNC, 'export const a: readonly string[] = []'],
    [SYNC, 'const a: ReadonlyMap<string, number> = new Map()'],
    [SYNC, "let a = ['x']"],
    ['packages/weir/src/runtime/a.ts', 'class A { #a = new Set() }'],
  ],
  [
    [SYNC, 'class A { readonly #a = new BoundedMap<string, number>() }'],
    [SYNC, 'class A { readonly #a = new WeakMap() }'],
    [SYNC, 'class A { readonly #a: readonly string[]\n readonly #b: BoundedMap<string, A[]> }'],
    [SYNC, 'class A { #a: (ids: string[]) => string[]\n #b: Promise<string[]> | undefined }'],
    [SYNC, 'class A { a(): string[] { const b: string[] = []; return b } }'],
    [SYNC, 'interface A { a: string[] }'],
    [SYNC, "const a = Object.freeze(['x'])"],
    [SYNC, "const a = ['x', 'y'] as const"],
    [SYNC, "const a: readonly string[] = ['x']"],
    [SYNC, "export const a: ReadonlySet<string> = new Set(['x'])"],
    [SYNC, 'function a() { const b = new Map(); return b }'],
    [SYNC, '// tidy: containers: it holds the two roles and never more\nconst a = new Map()'],
    [SYNC_TEST, 'const seen: string[] = []'],
    ['packages/weir/src/bounds/a.ts', 'class A { #a = new Map() }'],
    ['sim/a.ts', 'class A { #a = new Map() }'],
  ],
)

rule(
  'runtime-only',
  [
    [SYNC, 'setInterval(() => {}, 1)'],
    [SYNC, 'globalThis.setInterval(() => {}, 1)'],
    [SYNC, "import { setInterval } from 'node:timers/promises'"],
    [SYNC, 'const a = AbortSignal.any([])'],
    [SYNC_TEST, 'const a = Promise.race([])'],
    ['sim/a.ts', 'const a = Promise.race([])'],
  ],
  [
    ['packages/weir/src/runtime/a.ts', 'setInterval(() => Promise.race([AbortSignal.any([])]), 1)'],
    [SYNC, 'const a = Promise.all([]); const setIntervalMs = 1; // setInterval()'],
  ],
)

rule(
  'exits',
  [
    [SYNC, 'process.exit(1)'],
    [SYNC, 'process.abort()'],
    ['packages/mesh-controller/src/mesh/a.ts', 'process.exit(1)'],
    ['sim/a.ts', 'process.exit(1)'],
  ],
  [
    ['packages/weir/src/cli/a.ts', 'process.exit(1)'],
    ['packages/mesh-controller/src/app/a.ts', 'process.exit(1)'],
    ['packages/weir/bin/a.js', 'process.exit(1)'],
    ['tools/a.ts', 'process.exit(1)'],
    [SYNC, 'process.exitCode = 1'],
  ],
)

const MACHINE = 'packages/weir/src/sync/log-machine.ts'

rule(
  'machines',
  [
    [MACHINE, "import { a } from 'node:fs'"],
    [MACHINE, "import type { Socket } from 'node:net'"],
    [MACHINE, "import { a } from 'node:timers/promises'"],
    [MACHINE, "import { randomBytes } from 'node:crypto'"],
    [MACHINE, "import * as a from 'node:crypto'"],
    [MACHINE, 'const a = Date.now()'],
    [MACHINE, 'const a = new Date()'],
    [MACHINE, 'const a = performance.now()'],
    [MACHINE, 'const a = Math.random()'],
    [MACHINE, 'setTimeout(() => {}, 1)'],
    [MACHINE, 'const a = new Promise(() => {})'],
    [MACHINE, 'async function a() {}'],
    [MACHINE, 'const a = { async b() {} }'],
    ['packages/weir/src/machine/machine.ts', 'const a = Date.now()'],
  ],
  [
    [MACHINE, "import { createHash } from 'node:crypto'\nconst a = { setTimeout: 1, b: x.fetch }"],
    [MACHINE, 'let a: Promise<void>; const b = new Date(5)'],
    ['packages/weir/src/sync/shell.ts', 'const a = Date.now()'],
    ['packages/weir/src/sync/log-machine.test.ts', 'const a = Date.now()'],
  ],
)

rule(
  'tests-run',
  [
    [SYNC_TEST, "test.only('a', () => {})"],
    [SYNC_TEST, "test('a', { only: true }, () => {})"],
    [SYNC_TEST, "test.skip('a', () => {})"],
    [SYNC_TEST, "test('a', { skip: true }, () => {})"],
    [SYNC_TEST, "test('a', (t) => { t.skip() })"],
  ],
  [
    [SYNC_TEST, "test('a', { skip: !there && 'kubectl is not installed' }, () => {})"],
    [SYNC_TEST, "test('a', (t) => { t.skip('kubectl is not installed') })"],
    [SYNC, "options.only('a')"],
  ],
)

rule(
  'sizes',
  [[SYNC, '\n'.repeat(501)]],
  [
    [SYNC, '\n'.repeat(500)],
    ['README.md', '\n'.repeat(501)],
  ],
)

// The texts are put together here, or this file would break the rule itself.
const slash = '/'
rule(
  'words',
  [
    ['README.md', `see ${slash}work/shared/a`],
    [SYNC, `const a = '${slash}root/.npmrc'`],
    ['README.md', `${slash}home/someone/a`],
    ['a.json', `"https:${slash}/registry.npmjs.org/a"`],
    ['README.md', `run \`npx ${'weir'} keygen\``],
  ],
  [
    ['README.md', 'npx weir-mesh-controller, ~/work/a, ./root/b, $HOME/root/c, packages/work/d'],
    ['README.md', 'https://example.com/registry/a'],
  ],
)

rule(
  'names',
  [
    ['packages/weir/src/sync/utils.ts', ''],
    ['packages/weir/src/sync/sync-helpers.ts', ''],
    ['packages/weir/src/sync/Session.ts', ''],
    [SYNC, 'class SessionManager {}'],
    [SYNC, 'export function sessionHelper() {}'],
  ],
  [
    [SYNC, 'const fieldManagerName = 1; class Session {}'],
    ['packages/weir/src/sync/log-sync.test.ts', ''],
  ],
)

test('an exception needs the name of the rule and a reason', () => {
  const line = 'class A { a = [] }'
  assert.deepEqual(broken(SYNC, `// tidy: containers\n${line}`), ['containers'])
  assert.deepEqual(broken(SYNC, `// tidy: containers: ok\n${line}`), ['containers'])
  assert.deepEqual(broken(SYNC, `// tidy: exits: holds the two roles, never more\n${line}`), [
    'containers',
  ])
  assert.deepEqual(broken(SYNC, `${line} // tidy: containers: holds the two roles, never more`), [])
})

test('a finding names the line of the original text', () => {
  const [finding] = tidy(
    SYNC,
    "import type { A } from './a.ts'\n\ninterface B {\n}\nconst a = []\n",
  )
  assert.equal(finding?.line, 5)
})
