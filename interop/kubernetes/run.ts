/**
 * The embedded API with the official JavaScript client: installs the client below this folder, once, and runs the test.
 *
 * The client is no dependency of anything that is published; it takes 83 MB.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { runCommand } from '../../tools/children.ts'
import { runTests } from '../tests.ts'
import { findBinaries } from './binaries.ts'

const FOLDER = import.meta.dirname

/**
 * The controller against upstream API servers, when they are built; see `build-apiserver.ts`.
 *
 * @returns the exit code of the test, or why it cannot be tried.
 */
export async function runWithApiserver(): Promise<number | string> {
  const binaries = findBinaries()
  if (typeof binaries === 'string') return binaries
  return runTests([join('kubernetes', 'cluster.test.ts')], {
    ...process.env,
    WEIR_INTEROP_LONG: '1',
  })
}

/** @returns the exit code of the test. */
export async function run(): Promise<number> {
  if (!existsSync(join(FOLDER, 'node_modules', '@kubernetes', 'client-node'))) {
    const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund']
    const code = await runCommand('npm', args, { cwd: FOLDER })
    if (code !== 0) {
      console.error('The client could not be installed: is there a package registry?')
      return code
    }
  }
  return runTests([join('kubernetes', 'informer.test.ts')], process.env)
}

if (import.meta.main) process.exitCode = await run()
