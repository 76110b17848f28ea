/** Runs Node for `npm run costs`: the result of a child is one line on its standard output. */
import { spawn } from 'node:child_process'
import { flagsGiven } from 'weir-mesh/cli'

export interface ChildResult {
  readonly text: string
  /** Empty when it ended well; else the line that says why. */
  readonly error: string
}

export interface ChildOptions {
  /** One of the sizes that the launcher gives; the largest makes the fewest collections. Default 4. */
  readonly semiSpaceMiB?: number
  readonly env?: NodeJS.ProcessEnv
}

/** A filling that never ends is a mistake. */
const TIMEOUT_MS = 180_000

/** With the allocator as the launcher sets it, which decides what stays resident. */
export function runNode(args: readonly string[], options: ChildOptions = {}): Promise<ChildResult> {
  const flags = [`--max-semi-space-size=${options.semiSpaceMiB ?? 4}`]
  const child = spawn(process.execPath, [...flags, ...args], {
    env: { ...flagsGiven(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
  })
  let text = ''
  let words = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (words += chunk))
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ text: '', error: error.message }))
    child.on('close', (code, signal) => {
      if (code === 0) return resolve({ text: text.trim(), error: '' })
      const reason = /^\s*(?:Uncaught )?\w*Error.*: .*$/m.exec(words)?.[0].trim()
      resolve({ text: '', error: reason ?? `ended with ${signal ?? code}` })
    })
  })
}
