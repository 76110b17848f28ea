/** Runs test files of this folder as `npm test` does, so that one that hangs is named and ended. */
import { join } from 'node:path'
import { runCommand } from '../tools/children.ts'

/**
 * One file after the other: both ends of a test want a core.
 *
 * @param files below this folder
 * @returns the exit code
 */
export function runTests(files: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const paths = files.map((file) => join('interop', file))
  return runCommand(
    process.execPath,
    ['--conditions=weir-source', join('tools', 'test.ts'), '--concurrency', '1', ...paths],
    { env },
  )
}
