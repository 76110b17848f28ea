/**
 * Gives a process the V8 flags of its plan: the launcher that both programs use.
 *
 * The flags cannot be set later, so the process replaces itself. What it has parsed goes along in a file that only its
 * user can read and that is gone as soon as it was read. The process id stays, so signals and parents notice nothing;
 * the IPC channel and descriptors above 2 do not survive, so a program must not have touched its standard input before.
 *
 * A parent that computed the flags itself gives them with `flagsGiven`: then nothing is replaced. Where a process cannot be
 * replaced, a child is started instead, which gets the signals and whose exit code is returned.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { runToEnd } from '../../bin/launch.js'
import type { Plan } from '../bounds/index.ts'
import { WeirError } from '../runtime/index.ts'

const FOLDER_PREFIX = 'weir-launch-'
const CONFIG_ENV = 'WEIR_LAUNCHED_CONFIG'
const FLAGS_ENV = 'WEIR_FLAGS'

/**
 * How glibc keeps what is freed, unless the environment says otherwise. By default it keeps an arena per thread and
 * raises the size from which it gives memory back; buffers of 64 KiB that come and go then stay resident. Measured on
 * three controllers: at rest 94 MiB instead of 101, after a churn of 6 000 objects 110 instead of 120.
 *
 * What V8 needs to compile comes in pieces of 8 to 32 KiB. Among what lives long they would leave holes of 8 to 10 MB
 * in all: at this threshold they are pages of their own, and go at once, not only when the heap is trimmed.
 */
const ALLOCATOR = Object.freeze({
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '8192',
  MALLOC_TRIM_THRESHOLD_: '131072',
})

/** Trimming the native heap needs `node:ffi`, of which Node says that it is experimental: that is known. */
const QUIET = '--disable-warning=ExperimentalWarning'

export interface LaunchOptions {
  /** Whose `v8Flags` the new process gets. */
  readonly plan: Plan
  /** What `launched` returns there; it is carried as JSON. */
  readonly config: unknown
  /** For tests: how a process is replaced; `false` where it cannot be. Default: `process.execve`. */
  readonly execve?: Execve | false
}

/**
 * The environment of a process whose parent gives it the flags of its plan: it is not replaced, and its allocator is set
 * as the launcher sets it.
 */
export function flagsGiven(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  return { ...ALLOCATOR, ...env, [FLAGS_ENV]: 'given' }
}

/** The flags of a program with this plan; none when the plan asks for none. */
export function flagsOf(plan: Plan): readonly string[] {
  return plan.v8Flags.length === 0 ? [] : [...plan.v8Flags, QUIET]
}

type Execve = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never

/**
 * Replaces this process by one with the flags of the plan, and does not return then.
 *
 * @returns undefined when this process has its flags already and goes on by itself; else the exit code of the child
 *   that ran in its place.
 * @throws {WeirError} `LAUNCH_FAILED`
 */
export async function launch(options: LaunchOptions): Promise<number | undefined> {
  const { plan, config } = options
  const { env } = process
  if (env[FLAGS_ENV] === 'given' || plan.v8Flags.length === 0) return undefined
  const path = writeConfig(config)
  const script = process.argv.slice(1)
  const args = [...withoutFlags(process.execArgv, plan.v8Flags), ...flagsOf(plan), ...script]
  const given = { ...flagsGiven(env), [CONFIG_ENV]: path }
  try {
    const execve = options.execve ?? systemExecve()
    if (execve) execve(process.execPath, [process.execPath, ...args], given)
    Object.assign(env, given)
    return await runToEnd(process.execPath, args, (error) => {
      throw error
    })
  } catch (error) {
    throw new WeirError('LAUNCH_FAILED', 'the process could not be started anew with its flags', {
      cause: error,
    })
  } finally {
    // The new process has removed it, unless it died before.
    removeConfig(path)
    delete env[CONFIG_ENV]
    delete env[FLAGS_ENV]
  }
}

/**
 * What the process before this one has parsed; undefined in a process that was not launched. It can be read once.
 *
 * @throws {WeirError} `LAUNCH_FAILED`
 */
export function launched<T>(): T | undefined {
  const { env } = process
  const path = env[CONFIG_ENV]
  if (path === undefined) return undefined
  delete env[CONFIG_ENV]
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T
  } catch (error) {
    throw new WeirError('LAUNCH_FAILED', 'the config of the launcher is gone; start again', {
      cause: error,
    })
  } finally {
    removeConfig(path)
  }
}

/** Only a folder of the launcher: the variable may be set by somebody else, to a file that is none of ours. */
function removeConfig(path: string): void {
  const folder = dirname(path)
  if (basename(folder).startsWith(FOLDER_PREFIX)) rmSync(folder, { recursive: true, force: true })
}

function writeConfig(config: unknown): string {
  try {
    const folder = mkdtempSync(join(tmpdir(), FOLDER_PREFIX))
    const path = join(folder, 'config.json')
    writeFileSync(path, JSON.stringify(config), { mode: 0o600, flag: 'wx' })
    return path
  } catch (error) {
    throw new WeirError(
      'LAUNCH_FAILED',
      `the folder for temporary files, ${tmpdir()}, cannot be written to`,
      { cause: error },
    )
  }
}

/** Flags that the plan sets must not stand twice. */
function withoutFlags(execArgv: readonly string[], flags: readonly string[]): string[] {
  const names = flags.map((flag) => flag.split('=', 1)[0]!)
  return execArgv.filter((arg) => !names.includes(arg.split('=', 1)[0]!))
}

function systemExecve(): Execve | undefined {
  const { execve } = process as { execve?: Execve }
  if (!execve || process.platform === 'win32') return undefined
  return (file, args, env) => execve.call(process, file, args, env)
}
