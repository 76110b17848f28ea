import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type BundleOptions, bundle } from './bundle.ts'

/** What a compiler might have written: `b` uses `a`, lazily `b/late`, a package that stays and one that is taken in. */
const PACKAGE = Object.freeze({
  'package.json': '{ "type": "module", "version": "1.2.3" }',
  'bin/launch.js': `export const launch = 'launch'`,
  'dist/a/index.js': `export { A } from './one.js'\nexport { unused } from './two.js'`,
  'dist/a/index.d.ts': 'export declare class A {}',
  'dist/a/one.js': `import { two } from './two.js'\nexport class A { two = two }`,
  'dist/a/two.js': `export const two = 2\nexport const unused = 3`,
  'dist/b/main.js': `
    import { readFileSync } from 'node:fs'
    import { A } from '../a/index.js'
    import { Stays } from 'stays'
    import { launch } from '../../bin/launch.js'
    const { late } = await import('./late.js')
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url)))
    console.log(JSON.stringify([new A().two, A.name, Stays.name, launch, await late(), version]))`,
  'dist/b/late.js': `
    import { A } from '../a/index.js'
    import { Stays } from 'stays'
    export const late = async () => [A.name, new Stays().own, (await import('taken')).default]`,
  'dist/b/small.js': `
    import { unused } from '../a/index.js'
    console.log(unused, (await import('./late.js')).late.name)`,
  'node_modules/stays/package.json': '{ "type": "module", "exports": "./index.js" }',
  'node_modules/stays/index.js': 'export class Stays { own = true }',
  'node_modules/taken/package.json':
    '{ "version": "4.5.6", "exports": { "node": "./node.cjs", "default": "./index.mjs" } }',
  'node_modules/taken/node.cjs': `module.exports = require('process').pid`,
  'node_modules/taken/index.mjs': `export { default } from './part.mjs'`,
  'node_modules/taken/part.mjs': `export default 'taken'`,
  'node_modules/taken/LICENSE': 'Do as you like.',
})
const ANSWER = [2, 'A', 'Stays', 'launch', ['A', true, 'taken'], '1.2.3']
const ENTRIES = ['a/index', 'b/main'] as const

function packageOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-bundle-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [path, text] of Object.entries(PACKAGE)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return folder
}

const filesOf = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.\w+$/.test(name))

function run(folder: string): unknown {
  const child = spawnSync(process.execPath, [join(folder, 'dist/b/main.js')], { encoding: 'utf8' })
  assert.equal(child.stderr, '')
  return JSON.parse(child.stdout)
}

/** A script and what it imports, but not lazily. */
function loadedWith(script: string): string[] {
  const loaded = [script]
  for (const path of loaded) {
    const imports = readFileSync(path, 'utf8').matchAll(/^(?:import|\}) .*?"(\.[^"]+)";$/gm)
    for (const [, to] of imports) {
      const target = join(dirname(path), to!)
      if (!loaded.includes(target)) loaded.push(target)
    }
  }
  return loaded
}

for (const together of ['folder', 'package'] as const) {
  const options = (folder: string): BundleOptions => ({
    folder,
    together,
    entries: ENTRIES,
    takenIn: ['taken'],
  })

  test(`what is joined by ${together} does the same as before`, async (t) => {
    const folder = packageOf(t)
    await bundle(options(folder))
    rmSync(join(folder, 'node_modules/taken'), { recursive: true })
    assert.deepEqual(run(folder), ANSWER)
    assert.ok(!existsSync(join(folder, 'dist.draft')))
  })

  test(`joined by ${together}, declarations stay and only scripts that something needs are left`, async (t) => {
    const folder = packageOf(t)
    await bundle(options(folder))
    const files = filesOf(join(folder, 'dist'))
    assert.ok(files.includes('a/index.d.ts'))
    for (const gone of ['a/one.js', 'a/two.js', 'b/late.js']) assert.ok(!files.includes(gone), gone)
    const scripts = files.filter((name) => name.endsWith('.js'))
    const texts = scripts.map((name) => readFileSync(join(folder, 'dist', name), 'utf8'))
    assert.equal(
      texts.filter((text) => /class A\b|A = class/.test(text)).length,
      1,
      'a class is there once',
    )
    assert.ok(
      texts.some((text) => text.includes('from "stays"')),
      'a package of ours is taken in',
    )
  })

  test(`joined by ${together}, what is imported lazily is in a file of its own`, async (t) => {
    const folder = packageOf(t)
    await bundle(options(folder))
    const text = readFileSync(join(folder, 'dist/b/main.js'), 'utf8')
    assert.match(text, /import\("[./\w]*late-\w+\.js"\)/)
    assert.doesNotMatch(text, /own = true|'taken'/)
  })
}

test('joined by package, who takes one name of a folder does not load the rest of it', async (t) => {
  const folder = packageOf(t)
  await bundle({
    folder,
    together: 'package',
    entries: [...ENTRIES, 'b/small'],
    takenIn: ['taken'],
  })
  const loaded = loadedWith(join(folder, 'dist/b/small.js'))
  for (const path of loaded) {
    assert.doesNotMatch(readFileSync(path, 'utf8'), /class A\b|A = class/)
  }
  assert.ok(loaded.length > 1, 'nothing is shared')
})

test('joined by package, a program that stands apart shares no piece with the other entries', async (t) => {
  const piecesOf = async (apart: readonly string[]) => {
    const folder = packageOf(t)
    const entries = [...ENTRIES, 'b/small']
    await bundle({ folder, together: 'package', entries, apart, takenIn: ['taken'] })
    assert.deepEqual(run(folder), ANSWER)
    return loadedWith(join(folder, 'dist/b/main.js')).length
  }
  const [apart, among] = [await piecesOf(['b/main']), await piecesOf([])]
  assert.ok(apart < among, `${apart} instead of ${among}`)
})

/** `plan` needs of `part` a number and what it loads when it opens, and of `base` a class that is there once. */
const COPYING = Object.freeze({
  'package.json': '{ "type": "module" }',
  'dist/base/index.js': `export { Base } from './base.js'`,
  'dist/base/base.js': `export class Base {}`,
  'dist/part/index.js': `export { cost } from './cost.js'\nexport { Work } from './work.js'\nexport { plan } from './plan.js'`,
  'dist/part/cost.js': `import { Base } from '../base/index.js'\nexport const cost = () => [7, Base.name]`,
  'dist/part/work.js': `import { Base } from '../base/index.js'\nexport class Work extends Base {}`,
  'dist/part/plan.js': `
    import { cost } from './cost.js'
    export const plan = () => ({ cost: cost(), open: async () => (await import('./work.js')).Work })`,
  'dist/plan/index.js': `export { cost, plan } from '../part/index.js'`,
})

function copying(
  t: TestContext,
  entries: readonly string[],
): { folder: string; done: Promise<void> } {
  const folder = mkdtempSync(join(tmpdir(), 'weir-bundle-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [path, text] of Object.entries(COPYING)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  const done = bundle({
    folder,
    together: 'folder',
    entries,
    copying: { folder: 'plan', not: ['base'] },
  })
  return { folder, done }
}

test('a folder with copies has functions of the others, and no class and nothing that is lazy', async (t) => {
  const { folder, done } = copying(t, ['base/index', 'part/index', 'part/work', 'plan/index'])
  await done
  const text = readFileSync(join(folder, 'dist/plan/index.js'), 'utf8')
  assert.deepEqual(
    [...text.matchAll(/(?:from |import\()"([^"]+)"/g)].map(([, to]) => to),
    ['../base/index.js', '../part/work.js'],
  )
  const lines = `
    import { plan } from ${JSON.stringify(join(folder, 'dist/plan/index.js'))}
    import { Work } from ${JSON.stringify(join(folder, 'dist/part/index.js'))}
    const planned = plan()
    console.log(JSON.stringify([planned.cost, (await planned.open()) === Work]))`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', lines], {
    encoding: 'utf8',
  })
  assert.equal(child.stderr, '')
  assert.deepEqual(JSON.parse(child.stdout), [[7, 'Base'], true])
})

test('what a copy imports lazily must be an entry, or a copy of it would be left behind', async (t) => {
  const { done } = copying(t, ['base/index', 'part/index', 'plan/index'])
  await assert.rejects(done, /work\.js is no entry/)
})

test('built-in modules are taken from the process', async (t) => {
  const folder = packageOf(t)
  await bundle({ folder, together: 'folder', entries: ENTRIES, takenIn: ['taken'] })
  assert.doesNotMatch(readFileSync(join(folder, 'dist/b/main.js'), 'utf8'), /from "node:/)
})

test('the licence of what is taken in comes along', async (t) => {
  const folder = packageOf(t)
  await bundle({ folder, together: 'package', entries: ENTRIES, takenIn: ['taken'] })
  const text = readFileSync(join(folder, 'dist/THIRD-PARTY-LICENSES.txt'), 'utf8')
  assert.equal(text, 'taken 4.5.6\n\nDo as you like.\n')
})

test('without a licence nothing is taken in, and what was compiled is left as it was', async (t) => {
  const folder = packageOf(t)
  rmSync(join(folder, 'node_modules/taken/LICENSE'))
  const before = filesOf(folder)
  const texts = before.map((name) => readFileSync(join(folder, name), 'utf8'))
  const joined = bundle({ folder, together: 'package', entries: ENTRIES, takenIn: ['taken'] })
  await assert.rejects(joined, /taken has no licence/)
  assert.deepEqual(filesOf(folder), before)
  assert.deepEqual(
    before.map((name) => readFileSync(join(folder, name), 'utf8')),
    texts,
  )
})
