/** Finds the kubectl binaries of this machine and runs them against a test cluster. */
import { execFile, spawn } from 'node:child_process'
import { accessSync, constants, readdirSync, realpathSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import type { ApiServer } from './server.ts'

export interface Kubectl {
  /** `1.32`. */
  readonly version: string
  readonly path: string
}

/**
 * One binary per minor version: from PATH and beside what it points to, from the list in `WEIR_KUBECTL`, and from
 * `~/.cache/weir-kubectl/<version>/kubectl`.
 */
export async function findKubectls(): Promise<Kubectl[]> {
  const found: Kubectl[] = []
  for (const path of candidates()) {
    const version = await versionOf(path)
    if (version !== undefined && !found.some((one) => one.version === version)) {
      found.push({ version, path })
    }
  }
  return found.sort((a, b) => Number(a.version.split('.')[1]) - Number(b.version.split('.')[1]))
}

function candidates(): string[] {
  const named = process.env['WEIR_KUBECTL']
  if (named) return named.split(delimiter).filter(isExecutable)
  const paths: string[] = []
  const cache = join(homedir(), '.cache', 'weir-kubectl')
  for (const version of list(cache)) paths.push(join(cache, version, 'kubectl'))
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, 'kubectl')
    if (!isExecutable(path)) continue
    // A dispatcher has the real binaries beside it, with their version as suffix.
    const beside = dirname(realpathSync(path))
    paths.push(
      path,
      ...list(beside)
        .filter((name) => /^kubectl\.\d/.test(name))
        .map((name) => join(beside, name)),
    )
  }
  return paths.filter(isExecutable)
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function versionOf(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const args = ['version', '--client', '-o', 'json']
    execFile(path, args, { timeout: 20_000, env: environment(tmpdir()) }, (_error, output) => {
      const match = /"gitVersion":\s*"v(\d+\.\d+)/.exec(output)
      resolve(match?.[1])
    })
  })
}

function environment(home: string): NodeJS.ProcessEnv {
  // kubectl keeps a cache of discovery below HOME, by address: it must not see the one of another cluster.
  return { PATH: process.env['PATH'] ?? '', HOME: home, LANG: 'C' }
}

export interface Result {
  readonly code: number
  /** Standard output. */
  readonly out: string
  readonly err: string
}

/** A kubectl with a home and a kubeconfig of its own. */
export class KubectlRun implements AsyncDisposable {
  readonly #path: string
  readonly #home: string

  private constructor(path: string, home: string) {
    this.#path = path
    this.#home = home
  }

  static async open(kubectl: Kubectl, server: ApiServer): Promise<KubectlRun> {
    const home = await mkdtemp(join(tmpdir(), 'weir-kubectl-'))
    await writeFile(join(home, 'kubeconfig'), server.kubeconfig(), { mode: 0o600 })
    return new KubectlRun(kubectl.path, home)
  }

  /** Runs a command to its end; `input` is its standard input. */
  run(args: readonly string[], input = ''): Promise<Result> {
    return new Promise((resolve) => {
      const child = execFile(
        this.#path,
        ['--kubeconfig', join(this.#home, 'kubeconfig'), ...args],
        { timeout: 60_000, env: environment(this.#home) },
        (error, out, err) => resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
      )
      child.stdin?.on('error', () => {})
      child.stdin?.end(input)
    })
  }

  /** Starts a command that goes on until it is ended. */
  start(args: readonly string[]): {
    readonly text: () => string
    readonly end: () => Promise<void>
  } {
    const child = spawn(this.#path, ['--kubeconfig', join(this.#home, 'kubeconfig'), ...args], {
      env: environment(this.#home),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
    return {
      text: () => text,
      end: () => {
        child.kill('SIGTERM')
        return ended
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#home, { recursive: true, force: true })
  }
}
