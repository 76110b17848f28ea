import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { makePrivateFolder } from './folder.ts'

test('a folder and those above it are made for their owner alone, and an existing one is kept', (t) => {
  const top = mkdtempSync(join(tmpdir(), 'weir-folder-'))
  t.after(() => rmSync(top, { recursive: true, force: true }))
  const path = join(top, 'a', 'b', 'c')
  makePrivateFolder(path)
  makePrivateFolder(path)
  for (const made of [path, join(top, 'a')]) assert.equal(statSync(made).mode & 0o777, 0o700)
  makePrivateFolder(`${join(top, 'd')}/`)
  assert.ok(statSync(join(top, 'd')).isDirectory())

  const file = join(top, 'file')
  writeFileSync(file, '')
  assert.throws(() => makePrivateFolder(file), { code: 'EEXIST' })
  assert.throws(() => makePrivateFolder(join(file, 'below')), { code: 'ENOTDIR' })
})

test('a place where no folder can be made is an error and no loop', {
  skip: process.platform === 'linux' ? false : 'only Linux has /proc',
}, () => {
  assert.throws(() => makePrivateFolder('/proc/weir'), { code: 'ENOENT' })
  assert.throws(() => makePrivateFolder('/proc/weir/data'), { code: 'ENOENT' })
})
