import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'node:test'
import { FLOOR_BYTES, floorBytes } from './index.ts'

const ROOT = join(import.meta.dirname, '../../../..')

function costs(...filters: string[]) {
  const flags = ['--conditions=weir-source', '--expose-gc']
  return spawnSync(process.execPath, [...flags, join(ROOT, 'tools/costs.ts'), ...filters], {
    encoding: 'utf8',
    timeout: 120_000,
  })
}

test('the small containers take what the plan says, and npm run costs shows it', () => {
  const run = costs('cost.account', 'cost.map-small', 'cost.ring-small', 'cost.ids-small')
  assert.equal(run.stderr, '')
  assert.equal(run.status, 0, run.stdout)
  assert.match(
    run.stdout,
    /weir\/src\/bounds {2}cost\.map-small \(ttl, churned\) .* 1\.\d\d {2}ok\n/,
  )
  assert.match(run.stdout, /\n5 cases, 0 outside 1\.00 to 1\.6\n$/)
})

test('a filter that matches no case is a failure', () => {
  const run = costs('there-is-no-such-case')
  assert.equal(run.status, 1)
  assert.match(run.stderr, /No case matches/)
})

test('each program has a floor for source and for dist, and the one in use is the source here', () => {
  for (const floors of Object.values(FLOOR_BYTES)) {
    for (const bytes of Object.values(floors)) {
      assert.ok(bytes > 30 * 2 ** 20 && bytes < 200 * 2 ** 20, `${bytes}`)
      assert.ok(Number.isInteger(bytes))
    }
    assert.ok(floors.dist <= floors.source)
  }
  assert.equal(floorBytes('library'), FLOOR_BYTES.library.source)
})
