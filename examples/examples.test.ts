import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

/** What a run of each example prints, beside ending well. */
const PRINTS: Readonly<Record<string, RegExp>> = Object.freeze({
  'cleanup-scope.ts': /clean-up failed item=broken[\s\S]*after owned=0 listeners=0 failed=1\n$/,
  'cleanup-subscription.ts':
    /block: 0 in[\s\S]*break: 0 in[\s\S]*abort: 0 in[\s\S]*the ledger is empty\n$/,
  'pub-sub.ts': /^one\ntwo\nthree\nstreams left 0\nboth ledgers are empty\n$/,
})

for (const name of readdirSync(import.meta.dirname).filter((file) => /^[\w-]+\.ts$/.test(file))) {
  test(`${name} has at most 60 lines, runs and cleans up`, () => {
    const path = join(import.meta.dirname, name)
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n').length
    assert.ok(lines <= 60, `${lines} lines`)
    const flags = ['--conditions=weir-source']
    const run = spawnSync(process.execPath, [...flags, path], { encoding: 'utf8', timeout: 60_000 })
    assert.equal(run.stderr, '')
    assert.equal(run.status, 0)
    assert.match(run.stdout, PRINTS[name]!)
  })
}
