/**
 * When and why a demo ends: a signal, a failure, a reader or a parent that went away. The first reason counts.
 *
 * The rule that must hold: after the first signal everything is gone within 4.5 s, after the second at once.
 */
import { describeError, isWeirError, type Scope, WeirError } from 'weir-mesh/runtime'

const HARD_END_MS = 4_500
const PARENT_MS = 1_000
const SIGNALS = Object.freeze({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 })
/** A child that got the same Ctrl-C may be gone before our own signal was handled. */
const SAME_SIGNAL_MS = 300

export class Ending {
  /** Aborted with the reason. */
  readonly signal: AbortSignal
  readonly #abort = new AbortController()
  readonly #scope: Scope
  #code = 0
  #askedToEnd = false

  /** @param killAll Ends every process by pid and removes the folder, without waiting. */
  constructor(scope: Scope, killAll: () => void) {
    this.#scope = scope
    this.signal = this.#abort.signal
    for (const [name, code] of Object.entries(SIGNALS)) {
      scope.listen(process, name, () => {
        if (this.#askedToEnd) {
          killAll()
          process.exit(code)
        }
        this.stop(`ended by ${name}`, code)
        const hard = setTimeout(() => {
          killAll()
          process.exit(code)
        }, HARD_END_MS)
        hard.unref()
      })
    }
    scope.listen(process.stdout, 'error', () => this.stop('nobody reads the output', 1))
    const parent = process.ppid
    scope.every('parent', PARENT_MS, () => {
      if (process.ppid !== parent) this.stop('the parent is gone', 1)
    })
    process.once('exit', killAll)
    scope.defer('exit', () => void process.off('exit', killAll))
  }

  /** Whether somebody asked for the end, as opposed to a failure. */
  get askedToEnd(): boolean {
    return this.#askedToEnd
  }

  /** What the program ends with when it was asked to end. */
  get code(): number {
    return this.#code
  }

  /** Ends in order. */
  stop(why: string, code: number): void {
    if (this.#abort.signal.aborted) return
    this.#askedToEnd = true
    this.#code = code
    this.#abort.abort(new WeirError('DEMO_ENDED', why))
  }

  /** Ends because of a failure. */
  fail(error: unknown): void {
    if (isWeirError(error)) this.#abort.abort(error)
    else this.#abort.abort(new WeirError('DEMO_FAILED', describeError(error), { cause: error }))
  }

  /** Settles a moment after a child has ended: whether it was on its own account. */
  async isCrash(): Promise<boolean> {
    if (this.signal.aborted) return false
    await this.#scope.sleep(SAME_SIGNAL_MS)
    return !this.signal.aborted
  }
}
