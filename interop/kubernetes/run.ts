/**
 * The embedded API with the official JavaScript client: installs the client below this folder, once, and runs the test.
 *
 * The client is no dependency of anything that is published; it takes 83 MB.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
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
  const args = ['--conditions=weir-source', '--test', join(FOLDER, 'cluster.test.ts')]
  return runToEnd(process.execPath, args, { WEIR_INTEROP_LONG: '1' })
}

/** @returns the exit code of the test. */
export async function run(): Promise<number> {
  if (!existsSync(join(FOLDER, 'node_modules', '@kubernetes', 'client-node'))) {
    const code = await runToEnd('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'])
    if (code !== 0) {
      console.error('The client could not be installed: is there a package registry?')
      return code
    }
  }
  return runToEnd(process.execPath, [
    '--conditions=weir-source',
    '--test',
    join(FOLDER, 'informer.test.ts'),
  ])
}

function runToEnd(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: FOLDER,
      stdio: 'inherit',
      env: { ...process.env, ...env },
    })
    child.once('error', (error) => {
      console.error(`${command}: ${error.message}`)
      resolve(127)
    })
    child.once('close', (code) => resolve(code ?? 1))
  })
}

if (import.meta.main) process.exitCode = await run()
