/**
 * Runs commands of the tools: one after the other, with what they print passed through, never orphaned.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './files.ts'

/** What runs now, and the signal that asked for the end. */
const running: { child: ChildProcess | undefined; stopped: NodeJS.Signals | undefined } =
  Object.seal({ child: undefined, stopped: undefined })

for (const signal of ['SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    running.stopped = signal
    if (running.child === undefined) process.exit(1)
    running.child.kill(signal)
  })
}
process.on('SIGINT', () => {
  running.stopped = 'SIGINT'
})

/** Where and how a command runs. */
export interface RunOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

/**
 * Runs a command to its end with the streams of this process.
 *
 * @returns its exit code; 1 when a signal ended it
 */
export function runCommand(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? ROOT,
      env: options.env ?? process.env,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    running.child = child
    child.once('error', reject)
    child.once('exit', (code) => {
      running.child = undefined
      if (running.stopped === undefined) resolve(code ?? 1)
      else reject(new Error(`Stopped by ${running.stopped}.`))
    })
  })
}

/** Runs a JavaScript program of an installed package with this Node. */
export function runInstalled(
  packageName: string,
  file: string,
  args: readonly string[],
  options?: RunOptions,
): Promise<number> {
  const path = [ROOT, join(ROOT, 'tools')]
    .map((folder) => join(folder, 'node_modules', packageName, file))
    .find((candidate) => existsSync(candidate))
  if (path === undefined) throw new Error(`${packageName} is not installed: run "npm ci" first.`)
  return runCommand(process.execPath, [path, ...args], options)
}
