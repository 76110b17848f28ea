import assert from 'node:assert/strict'
import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { KeyPair } from '../core/index.ts'
import { readKeyFile, writeKeyFile } from './index.ts'

const seed = Uint8Array.from({ length: 32 }, (_, at) => at + 1)

function inFolder(run: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'weir-key-'))
  try {
    run(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('a key file holds the seed in hex, for its owner alone, and reads back as the same key', () =>
  inFolder((folder) => {
    const path = join(folder, 'a.key')
    const key = KeyPair.fromSeed(seed)
    writeKeyFile(path, key)
    assert.equal(readFileSync(path, 'utf8'), `${Buffer.from(seed).toString('hex')}\n`)
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.deepEqual(readKeyFile(path).id, key.id)
  }))

test('a key file is not overwritten, nor a file that a link points to', () =>
  inFolder((folder) => {
    const path = join(folder, 'a.key')
    writeFileSync(path, 'precious', { mode: 0o600 })
    const link = join(folder, 'link.key')
    symlinkSync(join(folder, 'target'), link)
    for (const taken of [path, link]) {
      assert.throws(() => writeKeyFile(taken, KeyPair.fromSeed(seed)), { code: 'KEY_FILE_EXISTS' })
    }
    assert.equal(readFileSync(path, 'utf8'), 'precious')
    const nowhere = join(folder, 'no', 'a.key')
    const code = 'KEY_FILE_UNWRITABLE'
    assert.throws(() => writeKeyFile(nowhere, KeyPair.fromSeed(seed)), { code })
  }))

test('a missing key file says how to make one', () =>
  inFolder((folder) => {
    const path = join(folder, 'a.key')
    const what = { code: 'KEY_FILE_MISSING', message: /weir keygen .*a\.key/ }
    assert.throws(() => readKeyFile(path), what)
    assert.throws(() => readKeyFile(join(folder, 'a.key', 'b')), { code: 'KEY_FILE_MISSING' })
  }))

test('what is no key is refused, and the message does not repeat it', () =>
  inFolder((folder) => {
    const path = join(folder, 'a.key')
    const hex = Buffer.from(seed).toString('hex')
    const bad = ['', hex.slice(1), `${hex}0`, `0x${hex}`, hex.replace('0', 'g'), `${hex}\n${hex}`]
    for (const text of [...bad, 'x'.repeat(100_000)]) {
      writeFileSync(path, text, { mode: 0o600 })
      assert.throws(
        () => readKeyFile(path),
        (error: Error & { code: string }) => {
          assert.equal(error.code, 'KEY_FILE_INVALID')
          assert.ok(!error.message.includes(hex.slice(2, 20)))
          return true
        },
      )
    }
    assert.throws(() => readKeyFile(folder), { code: /KEY_FILE_(INVALID|PERMISSIONS)/ })
    for (const end of ['', '\n', '\r\n', '  \n']) {
      writeFileSync(path, hex.toUpperCase() + end, { mode: 0o600 })
      assert.deepEqual(readKeyFile(path).id, KeyPair.fromSeed(seed).id)
    }
  }))

test('a key file that others can read or its group can change is refused', () =>
  inFolder((folder) => {
    const path = join(folder, 'a.key')
    writeKeyFile(path, KeyPair.fromSeed(seed))
    for (const mode of [0o644, 0o604, 0o602, 0o620]) {
      chmodSync(path, mode)
      assert.throws(() => readKeyFile(path), { code: 'KEY_FILE_PERMISSIONS', message: /chmod 600/ })
    }
    for (const mode of [0o600, 0o400, 0o440]) {
      chmodSync(path, mode)
      assert.deepEqual(readKeyFile(path).id, KeyPair.fromSeed(seed).id)
    }
  }))
