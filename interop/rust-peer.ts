/**
 * The Rust peer as a child process: its lines on stdout as objects, commands on its stdin.
 *
 * It never outlives its owner: closing says `quit` and kills it by its id when it does not go; when this process
 * dies, the end of its stdin ends it.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** What `npm run interop` sets: the program that it has built. */
export const PEER_PROGRAM = process.env['WEIR_RUST_PEER']

/** Why the tests of the Rust peer do not run, or false when they do. */
export const SKIPPED: string | false =
  PEER_PROGRAM === undefined ? '`npm run interop` builds the Rust peer and runs these tests' : false

/** One line of the program; see interop/rust/README.md. */
export interface Line {
  readonly event: string
  readonly [field: string]: unknown
}

/** The counts in `stats` and `end`. */
export interface Counts {
  readonly received: number
  readonly distinct: number
  readonly live: number
  readonly bad_body: number
  readonly bad_log_id: number
  readonly gaps: number
  readonly ingested: number
  readonly refused: number
  readonly lagged: number
  readonly failed_sessions: number
  readonly heights: Readonly<Record<string, number>>
  readonly ids_digest: string
  readonly peak_rss_kib: number
  readonly code: number
}

/** How a connection ended, as the program tells it. */
export interface Close {
  readonly by: string
  readonly code?: number
  readonly reason?: string
}

type Options = Readonly<Record<string, string | number | true>>

const QUIT_MS = 5_000

export class RustPeer implements AsyncDisposable {
  readonly lines: Line[] = []
  readonly #child: ChildProcess
  readonly #gone: Promise<number | null>
  #errors = ''
  #heard: (() => void) | undefined
  #over = false

  /** Starts the program and waits until it is ready. */
  static async start(command: string, options: Options): Promise<RustPeer> {
    assert.ok(PEER_PROGRAM, 'the Rust peer has not been built')
    const words = Object.entries(options).flatMap(([name, value]) =>
      value === true ? [`--${name}`] : [`--${name}`, String(value)],
    )
    const peer = new RustPeer(PEER_PROGRAM, [command, ...words])
    await peer.line('ready')
    return peer
  }

  private constructor(program: string, words: readonly string[]) {
    const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child = child
    child.stdin.on('error', () => {})
    child.stderr.on('data', (chunk) => {
      this.#errors = (this.#errors + chunk).slice(-4_000)
    })
    const lines = createInterface({ input: child.stdout })
    lines.on('line', (text) => {
      this.lines.push(JSON.parse(text) as Line)
      this.#heard?.()
    })
    this.#gone = new Promise((resolve) => {
      child.once('error', () => resolve(null))
      child.once('exit', (code) => resolve(code))
    })
    lines.once('close', () => {
      this.#over = true
      this.#heard?.()
    })
  }

  /** The node id in hex. */
  get id(): string {
    return this.#ready('id')
  }

  /** `127.0.0.1:PORT` */
  get address(): string {
    return this.#ready('addr')
  }

  /** The first line of this kind that fits, whether it has come already or not. */
  async line(event: string, fits: (line: Line) => boolean = () => true): Promise<Line> {
    for (let at = 0; ; at++) {
      while (at === this.lines.length) {
        assert.ok(!this.#over, `the Rust peer ended without '${event}': ${this.#story()}`)
        await new Promise<void>((resolve) => {
          this.#heard = resolve
        })
      }
      const line = this.lines[at]!
      if (line.event === event && fits(line)) return line
    }
  }

  /** All lines of this kind that have come. */
  all(event: string): Line[] {
    return this.lines.filter((line) => line.event === event)
  }

  say(command: string): void {
    this.#child.stdin!.write(`${command}\n`)
  }

  /** Counts up to now. */
  async stats(): Promise<Counts> {
    const before = this.all('stats').length
    this.say('stats')
    while (this.all('stats').length === before) {
      assert.ok(!this.#over, `the Rust peer has ended: ${this.#story()}`)
      await new Promise<void>((resolve) => {
        this.#heard = resolve
      })
    }
    return this.all('stats')[before]!['stats'] as Counts
  }

  /** Waits until the program ends by itself. */
  async end(): Promise<Counts> {
    const line = await this.line('end')
    await this.#gone
    return line as unknown as Counts
  }

  /** Asks the program to end. */
  quit(): Promise<Counts> {
    this.say('quit')
    return this.end()
  }

  /** Ends the program as a crash does. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#gone
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin!.end('quit\n')
    const late = setTimeout(() => this.#child.kill('SIGKILL'), QUIT_MS)
    await this.#gone
    clearTimeout(late)
  }

  #ready(field: string): string {
    const line = this.lines.find(({ event }) => event === 'ready')
    assert.ok(line, 'the Rust peer is not ready')
    return line[field] as string
  }

  #story(): string {
    return JSON.stringify(this.lines.slice(-5)) + this.#errors
  }
}
