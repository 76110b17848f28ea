/**
 * Which life of the zone this is: a counter in the data folder, or the start time where nothing is persisted.
 *
 * The counter is on the disk before anything is written in its name, so a crash costs a number and never repeats one.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { makePrivateFolder, WeirError } from 'weir-mesh/runtime'

const FILE = 'incarnation'

/**
 * Takes the next incarnation.
 *
 * @param wallMs The start time in ms; the counter is never below it, so a data folder may be lost or added later.
 * @throws {WeirError} `DATA_DIR_UNUSABLE`, `DATA_DIR_INVALID`.
 */
export function nextIncarnation(dataDir: string | undefined, wallMs: number): number {
  if (dataDir === undefined) return wallMs
  try {
    makePrivateFolder(dataDir)
    const path = join(dataDir, FILE)
    const next = Math.max(read(path) + 1, wallMs)
    write(dataDir, path, next)
    return next
  } catch (error) {
    if (error instanceof WeirError) throw error
    throw new WeirError(
      'DATA_DIR_UNUSABLE',
      `the data folder ${dataDir} cannot be used; check dataDir and its permissions`,
      { cause: error },
    )
  }
}

function read(path: string): number {
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
  const value = Number(text)
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(value)) return value
  throw new WeirError(
    'DATA_DIR_INVALID',
    `${path} does not hold a number; restore it, or remove it if the other zones may see a new life`,
  )
}

function write(dataDir: string, path: string, value: number): void {
  const draft = `${path}.new`
  const file = openSync(draft, 'w', 0o600)
  try {
    writeSync(file, `${value}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(draft, path)
  const folder = openSync(dataDir, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
