/**
 * The file with a node's secret key: the 64 hex digits of the seed and a line end, for its owner alone.
 *
 * A key file is never overwritten: who loses it loses the identity of the node and the right to write on its logs.
 */
import { closeSync, fstatSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { fromHex, toHex } from '../codec/index.ts'
import { KeyPair, SEED_BYTES } from '../core/index.ts'
import { WeirError } from '../runtime/index.ts'

/** More than a key file has; one that is longer is no key file and is not read further. */
const READ_BYTES_MAX = 256
const TEXT = /^[0-9a-fA-F]{64}\s*$/
/** Readable or writable by others, or writable by the group. A group may read: Kubernetes mounts secrets so. */
const TOO_OPEN = 0o027

/**
 * Reads a key file.
 *
 * @throws {WeirError} `KEY_FILE_MISSING`, `KEY_FILE_INVALID`, `KEY_FILE_PERMISSIONS`
 */
export function readKeyFile(path: string): KeyPair {
  const file = openForReading(path)
  const bytes = Buffer.alloc(READ_BYTES_MAX)
  try {
    checkMode(path, file)
    const length = readSync(file, bytes, 0, READ_BYTES_MAX, 0)
    const text = bytes.toString('latin1', 0, length)
    if (!TEXT.test(text)) throw invalid(path)
    return KeyPair.fromSeed(fromHex(text.slice(0, 2 * SEED_BYTES), SEED_BYTES))
  } catch (error) {
    if (error instanceof WeirError) throw error
    throw invalid(path, error)
  } finally {
    bytes.fill(0)
    closeSync(file)
  }
}

/**
 * Writes a key to a new file with mode 0600.
 *
 * @throws {WeirError} `KEY_FILE_EXISTS` when there is a file, which is left as it is; `KEY_FILE_UNWRITABLE`
 */
export function writeKeyFile(path: string, key: KeyPair): void {
  let file: number
  try {
    // Exclusive: whoever else makes it first keeps it, and a link is not followed.
    file = openSync(path, 'wx', 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new WeirError(
        'KEY_FILE_EXISTS',
        `${path} exists and is not overwritten; use it, or name another file`,
      )
    }
    throw new WeirError(
      'KEY_FILE_UNWRITABLE',
      `${path} cannot be written; make its folder, or name a file in one that you may write to`,
      { cause: error },
    )
  }
  try {
    writeSync(file, `${toHex(key.seed())}\n`)
  } catch (error) {
    // Half a key would be refused by every later start, and never be overwritten.
    rmSync(path, { force: true })
    throw new WeirError('KEY_FILE_UNWRITABLE', `${path} was not written whole and was removed`, {
      cause: error,
    })
  } finally {
    closeSync(file)
  }
}

function openForReading(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new WeirError(
        'KEY_FILE_MISSING',
        `there is no key file ${path}; make one with: weir keygen ${path}`,
      )
    }
    throw new WeirError('KEY_FILE_PERMISSIONS', `the key file ${path} cannot be opened`, {
      cause: error,
    })
  }
}

function checkMode(path: string, file: number): void {
  const { mode } = fstatSync(file)
  if (process.platform === 'win32' || (mode & TOO_OPEN) === 0) return
  throw new WeirError(
    'KEY_FILE_PERMISSIONS',
    `others may read or change the key file ${path}; if nobody has, run: chmod 600 ${path}`,
  )
}

function invalid(path: string, cause?: unknown): WeirError {
  return new WeirError(
    'KEY_FILE_INVALID',
    `${path} is no key file: it holds 64 hex digits and a line end, as weir keygen writes them`,
    cause === undefined ? {} : { cause },
  )
}
