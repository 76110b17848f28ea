/**
 * Small things that the tests of this folder share: temporary folders, a pretended old Node, processes.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'

/**
 * Flags that make a Node believe it is an old one on a platform that has a bundled Node.
 *
 * The decision is made on `process.versions`, so this is the whole of an old Node that it can see, and the
 * tests do not depend on which Node the machine has.
 */
export const OLD_NODE: readonly string[] = Object.freeze([
  '--import',
  `data:text/javascript,${encodeURIComponent(
    [
      'const set = (name, value) => Object.defineProperty(process, name, { value, configurable: true })',
      "set('versions', { ...process.versions, node: '20.20.2' })",
      "set('platform', 'linux')",
      "set('arch', 'x64')",
    ].join('\n'),
  )}`,
])

/** Makes a folder that is gone when the test is over, with the given files in it. */
export function folder(t: TestContext, files: Record<string, string> = {}): string {
  const path = mkdtempSync(join(tmpdir(), 'weir-tools-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true })
    writeFileSync(join(path, name), text)
  }
  return path
}

/** How a process ended and what it said. */
export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A process under test. */
export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ending>
  /** Resolves as soon as standard output contains the text; rejects when the process ends without it. */
  said(text: string): Promise<void>
}

/** Starts this Node with arguments; the environment does not carry what belongs to the test runner. */
export function start(args: readonly string[], options: SpawnOptions = {}): Running {
  const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...env } = process.env
  const child = spawn(process.execPath, args, {
    ...options,
    env: { ...env, ...options.env },
    stdio: 'pipe',
  })
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr?.on('data', (chunk) => {
    stderr += chunk
  })
  const ended = new Promise<Ending>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  const said = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (stdout.includes(text)) resolve()
      }
      child.stdout?.on('data', look)
      child.once('close', () => reject(new Error(`ended without "${text}": ${stdout}${stderr}`)))
      look()
    })
  return { child, ended, said }
}
