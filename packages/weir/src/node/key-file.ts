/**
 * The file that holds a node's secret key: the seed as 64 hex digits and a newline, readable by its owner only.
 *
 * The text is not kept: what stays in memory is the key pair.
 */
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import { fromHex, toHex } from '../codec/index.ts'
import { KeyPair, SEED_BYTES } from '../core/index.ts'
import { WeirError } from '../runtime/index.ts'

const TEXT_BYTES = 2 * SEED_BYTES
const FILE_BYTES_MAX = TEXT_BYTES + 2

/**
 * Reads a key file.
 *
 * @throws {WeirError} `KEY_FILE_MISSING`, `KEY_FILE_INVALID`, `KEY_FILE_PERMISSIONS` when others can read it.
 */
export function readKeyFile(path: string): KeyPair {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    throw new WeirError(
      'KEY_FILE_MISSING',
      `the key file ${path} cannot be opened; make one with: weir keygen ${path}`,
      { cause: error },
    )
  }
  try {
    const state = fstatSync(file)
    if (!state.isFile() || state.size > FILE_BYTES_MAX) throw invalid(path)
    if (process.platform !== 'win32' && (state.mode & 0o077) !== 0) {
      throw new WeirError(
        'KEY_FILE_PERMISSIONS',
        `others can read the key file ${path}; run: chmod 600 ${path}`,
      )
    }
    const buffer = Buffer.alloc(FILE_BYTES_MAX)
    const text = buffer.toString('latin1', 0, readSync(file, buffer, 0, FILE_BYTES_MAX, 0)).trim()
    buffer.fill(0)
    if (!/^[0-9a-f]{64}$/.test(text)) throw invalid(path)
    return KeyPair.fromSeed(fromHex(text, SEED_BYTES))
  } finally {
    closeSync(file)
  }
}

/**
 * Writes a new key file with mode 0600.
 *
 * @throws {WeirError} `KEY_FILE_EXISTS` when there is one: a key is never overwritten. `KEY_FILE_UNWRITABLE`.
 */
export function writeKeyFile(path: string, key: KeyPair): void {
  let file: number
  try {
    file = openSync(path, 'wx', 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new WeirError(
        'KEY_FILE_EXISTS',
        `${path} exists and is not overwritten; choose another name, or remove it if its key is not needed`,
      )
    }
    throw new WeirError('KEY_FILE_UNWRITABLE', `the key file ${path} cannot be written`, {
      cause: error,
    })
  }
  try {
    writeSync(file, `${toHex(key.seed())}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function invalid(path: string): WeirError {
  return new WeirError(
    'KEY_FILE_INVALID',
    `${path} is not a key file: it has to hold 64 hex digits; make one with: weir keygen FILE`,
  )
}
