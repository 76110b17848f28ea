/**
 * The files of the checkout that are ours: what was installed, built or fetched is left out.
 */
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The root of the checkout. */
export const ROOT = dirname(import.meta.dirname)

/** Folders that hold nothing of ours, wherever they are. */
const FOREIGN: readonly string[] = Object.freeze([
  '.git',
  'node_modules',
  'dist',
  'target',
  'coverage',
  'competitors',
  'results',
])

/** Every file below a folder, in a stable order. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !FOREIGN.includes(entry.name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) return filesBelow(path)
      return entry.isFile() ? [path] : []
    })
}
