/**
 * Makes a folder that only its owner may enter, and those above it that are missing.
 *
 * Not `mkdirSync` with `recursive`: where the system answers ENOENT although the parent is there, as below `/proc`, that
 * tries again for ever.
 */
import { mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** @throws what `mkdir(2)` says, with its `code`: `EACCES`, `ENOTDIR`, `ENOENT`, `EEXIST` for what is no folder. */
export function makePrivateFolder(path: string): void {
  const whole = resolve(path)
  if (make(whole) !== 'ENOENT' || dirname(whole) === whole) return
  makePrivateFolder(dirname(whole))
  const code = make(whole)
  if (code) throw Object.assign(new Error(`the folder ${whole} cannot be made`), { code })
}

/** @returns `ENOENT` when it cannot be made because its parent is missing, or so the system says. */
function make(path: string): 'ENOENT' | undefined {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return code
    if (code !== 'EEXIST' || !statSync(path).isDirectory()) throw error
  }
  return undefined
}
