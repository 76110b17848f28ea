/** A `weir` process of a test: its lines, its standard input, and its end. Never left behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const BIN = join(import.meta.dirname, '../../bin/weir.js')

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class Program implements AsyncDisposable {
  readonly pid: number
  readonly ended: Promise<Ended>
  readonly #child: ChildProcess
  readonly #out = new Collected()
  readonly #err = new Collected()

  /** @param input The descriptor of its standard input; by default a pipe, which `write` and `endInput` are for. */
  constructor(
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    input: number | 'pipe' = 'pipe',
  ) {
    this.#child = spawn(process.execPath, ['--conditions=weir-source', BIN, ...args], {
      stdio: [input, 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    this.pid = this.#child.pid!
    this.ended = once(this.#child, 'close').then(([code, signal]) => ({ code, signal }))
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => this.#out.add(text))
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => this.#err.add(text))
    // A process that has ended takes no more input; the test sees its end.
    this.#child.stdin?.on('error', () => {})
    void this.ended.then(() => {
      this.#out.end()
      this.#err.end()
    })
  }

  /** Whole lines of standard output. */
  get lines(): readonly string[] {
    return this.#out.lines
  }

  get errors(): string {
    return this.#err.text
  }

  /** Waits for a line on standard error. @returns what the pattern has found. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const found = await this.#err.until(() => pattern.exec(this.errors))
    if (!found) throw new Error(`it ended without saying ${pattern}:\n${this.errors}`)
    return found
  }

  /** Waits for so many lines on standard output. */
  async prints(count: number): Promise<readonly string[]> {
    const there = await this.#out.until(() => this.lines.length >= count)
    if (!there) throw new Error(`it ended after ${this.lines.length} lines:\n${this.errors}`)
    return this.lines
  }

  /** The id of its node and where it was bound. */
  async address(): Promise<{ readonly id: string; readonly address: string }> {
    const [, id, address] = await this.says(/^weir: node ([0-9a-f]{64}) on (\S+)$/m)
    return { id: id!, address: address! }
  }

  write(text: string): void {
    this.#child.stdin!.write(text)
  }

  /** Its reader takes nothing until it has ended. */
  pauseOutput(): void {
    const out = this.#child.stdout!
    out.pause()
    this.#child.once('exit', () => out.resume())
  }

  /** Waits until its output has been full for a while. */
  async stuck(): Promise<void> {
    const out = this.#child.stdout!
    for (let before = -1; before !== out.readableLength || before === 0; ) {
      before = out.readableLength
      await new Promise((resolve) => setTimeout(resolve, 1_000))
    }
  }

  endInput(): void {
    this.#child.stdin!.end()
  }

  stop(signal: NodeJS.Signals): Promise<Ended> {
    this.#child.kill(signal)
    return this.ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGKILL')
  }
}

class Collected {
  text = ''
  #ended = false
  #waiting: (() => void) | undefined

  get lines(): string[] {
    return this.text.split('\n').slice(0, -1)
  }

  add(text: string): void {
    this.text += text
    this.#waiting?.()
  }

  end(): void {
    this.#ended = true
    this.#waiting?.()
  }

  /** Waits until `what` finds something; undefined when the process has ended without. */
  async until<T>(what: () => T): Promise<T | undefined> {
    while (true) {
      const found = what()
      if (found || this.#ended) return found || undefined
      await new Promise<void>((resolve) => {
        this.#waiting = resolve
      })
    }
  }
}
