import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'node:test'

/** What a process does that reads a config, plans, and gives way to one with the flags of its plan. */
const PLANS = `
  await import('weir-mesh/launch')
  await import('weir-mesh/cli')
  for (const folder of ['core', 'observe', 'store', 'sync']) await import('weir-mesh/' + folder)
  const { loadTransport } = await import('weir-mesh/transport')
  const { terms } = (await loadTransport('quic')).plan()
  const loaded = process.moduleLoadList.map((name) => name.split(' ').at(-1))
  console.log(JSON.stringify({ terms: terms.length, loaded }))`

test('a process that only plans loads no sockets, no server, no database and starts no child', () => {
  const child = spawnSync(
    process.execPath,
    ['--conditions=weir-source', '--input-type=module', '--eval', PLANS],
    { encoding: 'utf8', cwd: join(import.meta.dirname, '../..') },
  )
  assert.equal(child.stderr, '')
  const { terms, loaded } = JSON.parse(child.stdout) as { terms: number; loaded: string[] }
  assert.ok(terms > 10)
  assert.ok(loaded.includes('crypto'), 'the names of built-in modules are told in another way')
  const heavy = ['dgram', 'http', 'https', 'tls', 'sqlite', 'child_process', 'undici']
  assert.deepEqual(
    heavy.filter((name) => loaded.some((each) => each.endsWith(name))),
    [],
  )
})
