/**
 * Gives the process the V8 flags of its plan. The flags cannot be set later, so the process replaces itself, and the
 * parsed config goes along in a file that only its reader sees and that is removed as it is read.
 *
 * A parent that has given the flags already sets `WEIR_FLAGS=given`: then nothing is replaced.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Plan } from 'weir-mesh/bounds'
import { WeirError } from 'weir-mesh/runtime'

const CONFIG_ENV = 'WEIR_LAUNCHED_CONFIG'
const FLAGS_ENV = 'WEIR_FLAGS'

type Execve = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never

/** Replaces the process, unless it has its flags or the platform cannot: then it returns and the caller goes on. */
export function handOver(config: unknown, plan: Plan): void {
  const execve = (process as unknown as { execve?: Execve }).execve
  if (process.env[FLAGS_ENV] === 'given' || !execve || process.platform === 'win32') return
  const folder = mkdtempSync(join(tmpdir(), 'weir-launch-'))
  const path = join(folder, 'config.json')
  writeFileSync(path, JSON.stringify(config), { mode: 0o600, flag: 'wx' })
  const args = [process.execPath, ...process.execArgv, ...plan.v8Flags, ...process.argv.slice(1)]
  try {
    execve.call(process, process.execPath, args, {
      // glibc keeps what is freed in an arena per thread, and the binding has threads: with one arena 5 MB less at rest
      // and 12 MB less after a load. An operator's own setting counts.
      MALLOC_ARENA_MAX: '1',
      ...process.env,
      [CONFIG_ENV]: path,
      [FLAGS_ENV]: 'given',
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The config of the process before, when this one was started by `handOver`. */
export function takenOver<T>(): T | undefined {
  const path = process.env[CONFIG_ENV]
  if (path === undefined) return undefined
  delete process.env[CONFIG_ENV]
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T
  } catch (error) {
    throw new WeirError('LAUNCH_FAILED', 'the config of the launcher is gone; start again', {
      cause: error,
    })
  } finally {
    rmSync(dirname(path), { recursive: true, force: true })
  }
}
