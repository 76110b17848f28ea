/**
 * The processes of a bench: each is known by its pid, ends when its standard input ends, and is killed by pid when it
 * does not. What a child says on standard error is kept in a file of the run's folder.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

export interface ChildOptions {
  readonly args: readonly string[]
  /** Where standard error goes. */
  readonly logPath: string
  readonly env?: NodeJS.ProcessEnv
}

const running: { readonly children: Set<Child> } = Object.freeze({ children: new Set<Child>() })

export class Child {
  readonly pid: number
  readonly #process: ChildProcess
  readonly #exited: Promise<void>
  #lines: AsyncIterator<string> | undefined

  constructor(options: ChildOptions) {
    const log = openSync(options.logPath, 'a')
    this.#process = spawn(process.execPath, [...options.args], {
      // Of this machine alone: node parses all of these certificates as soon as TLS is loaded, 13 to 29 ms of CPU.
      env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined, ...options.env },
      stdio: ['pipe', 'pipe', log],
    })
    if (this.#process.pid === undefined) throw new Error(`${options.args[0]} does not start`)
    this.pid = this.#process.pid
    this.#process.stdin?.on('error', () => {})
    this.#exited = once(this.#process, 'exit').then(() => {
      running.children.delete(this)
    })
    running.children.add(this)
  }

  get alive(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null
  }

  /** How it ended, for messages. */
  get end(): string {
    return String(this.#process.signalCode ?? this.#process.exitCode)
  }

  /** The next line of standard output; undefined after the last. */
  async line(): Promise<string | undefined> {
    this.#lines ??= createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]()
    const { value, done } = await this.#lines.next()
    return done ? undefined : value
  }

  /** Reads and forgets what it prints. */
  ignoreOutput(): void {
    this.#process.stdout?.resume()
  }

  write(line: string): void {
    this.#process.stdin?.write(`${line}\n`)
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name)
  }

  /** Ends it in order, and after the deadline by force. @returns ms until it was gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', deadlineMs = 15_000): Promise<number> {
    const from = performance.now()
    if (this.alive) {
      this.#process.kill(signal)
      const late = setTimeout(() => this.#process.kill('SIGKILL'), deadlineMs)
      await this.#exited
      clearTimeout(late)
    }
    return performance.now() - from
  }
}

/** Ends all children that are left, for a bench that failed half-way. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running.children].map((child) => child.stop('SIGKILL')))
}

/** Looks every `everyMs` until it holds. @throws after `deadlineMs`, naming `what`. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  deadlineMs: number,
  everyMs = 10,
): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${deadlineMs / 1000} s`)
    await sleep(everyMs)
  }
}

export { sleep }
