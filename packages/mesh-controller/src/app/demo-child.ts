/**
 * One child of the demo. It is never detached, it ends when its standard input ends (so also when the demo is killed),
 * and it is known by its pid, never by a name.
 *
 * Memory: `demo.lines`, the last lines of its standard error, until `dispose`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { Account } from 'weir-mesh/bounds'
import { RingQueue } from 'weir-mesh/bounds'
import { type Scope, WeirError } from 'weir-mesh/runtime'
import { LINE_CHARS_MAX } from './demo-memory.ts'

export interface DemoChildOptions {
  /** For people: `the controller of zone-a`. */
  readonly name: string
  readonly scope: Scope
  /** Of the term `demo.lines`; the child closes it. */
  readonly lines: Account
  /** Flags of Node, the program, its arguments. */
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Called with each line of standard output. */
  readonly onLine?: (line: string) => void
}

export class DemoChild implements Disposable {
  readonly name: string
  /** Settles when the process is gone and its pipes are empty. */
  readonly ended: Promise<void>
  readonly #process: ChildProcess
  readonly #scope: Scope
  readonly #lines: RingQueue<string>
  #gone = false
  #asked = false

  constructor(options: DemoChildOptions) {
    this.name = options.name
    this.#scope = options.scope
    this.#lines = new RingQueue<string>(options.lines, { bytesOf: (line) => 2 * line.length })
    this.#process = spawn(process.execPath, options.args, {
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: false,
    })
    const { stdin, stdout, stderr } = this.#process
    stdin?.on('error', () => {}) // it is gone; `ended` says so
    eachLine(stderr!, (line) => {
      if (!this.#gone) this.#lines.push(line)
    })
    eachLine(stdout!, (line) => options.onLine?.(line))
    this.ended = new Promise((resolve) => {
      const gone = () => {
        this.#gone = true
        resolve()
      }
      this.#process.once('close', gone)
      this.#process.once('error', (error) => {
        this.#lines.push(error.message)
        gone()
      })
    })
  }

  /** 0 when it could not be started. */
  get pid(): number {
    return this.#process.pid ?? 0
  }

  get running(): boolean {
    return !this.#gone
  }

  /** Whether we asked it to end. */
  get asked(): boolean {
    return this.#asked
  }

  /** How it ended, with its last words: one line for people. */
  get verdict(): string {
    const { exitCode, signalCode } = this.#process
    const how = signalCode === null ? `ended with code ${exitCode}` : `was ended by ${signalCode}`
    return `${this.name} (pid ${this.pid}) ${how}${this.lastWords}`
  }

  get lastWords(): string {
    const words = [...this.#lines].slice(-4).join('\n    ')
    return words === '' ? ', without a word' : `; its last words:\n    ${words}`
  }

  /** Sends a signal to the pid, as long as the process is ours. */
  kill(signal: NodeJS.Signals): void {
    this.#asked = true
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill(signal)
    }
  }

  /** Asks it to end and waits; after the deadline it is killed. */
  async stop(deadlineMs: number): Promise<void> {
    if (this.#gone) return
    this.kill('SIGTERM')
    const timer = this.#scope.clock.start(deadlineMs, () => this.kill('SIGKILL'))
    await this.ended
    timer.cancel()
  }

  [Symbol.dispose](): void {
    this.#gone = true
    this.#lines[Symbol.dispose]()
  }

  /** @throws {WeirError} `DEMO_CHILD_ENDED` when it is not running. */
  check(): void {
    if (this.#gone) throw new WeirError('DEMO_CHILD_ENDED', this.verdict)
  }
}

/** Calls back with each line, cut to what is kept; the rest of a longer line is passed over. */
function eachLine(stream: Readable, take: (line: string) => void): void {
  let open = ''
  stream.setEncoding('utf8')
  stream.on('error', () => {})
  stream.on('data', (chunk: string) => {
    const lines = (open + chunk).split('\n')
    open = (lines.pop() ?? '').slice(0, LINE_CHARS_MAX)
    for (const line of lines) if (line !== '') take(line.slice(0, LINE_CHARS_MAX))
  })
  stream.on('end', () => {
    if (open !== '') take(open)
  })
}
