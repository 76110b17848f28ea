/**
 * The embedded API with the official JavaScript client: installs the client below this folder, once, and runs the test.
 *
 * The client is no dependency of anything that is published; it takes 83 MB.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const FOLDER = import.meta.dirname

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

function runToEnd(command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: FOLDER, stdio: 'inherit' })
    child.once('error', (error) => {
      console.error(`${command}: ${error.message}`)
      resolve(127)
    })
    child.once('close', (code) => resolve(code ?? 1))
  })
}

if (import.meta.main) process.exitCode = await run()
