/**
 * When a program is to end: SIGINT, SIGTERM, or the end of its standard input when its parent asked for that. A second
 * signal ends the process at once, with the code that shells give it.
 */
import { constants } from 'node:os'

/** Longest time that an orderly end may take; whatever still hangs then is left behind. */
const END_DEADLINE_MS = 4_800
const EXIT_OVERDUE = 1
/** For what was written last and is still on its way to a reader. */
const LAST_OUTPUT_MS = 200

export class UntilEnd implements Disposable {
  readonly #abort = new AbortController()
  readonly #onSignal = (signal: NodeJS.Signals) => {
    if (this.signal.aborted) process.exit(128 + constants.signals[signal])
    this.end(signal)
  }
  #deadline: NodeJS.Timeout | undefined

  constructor() {
    process.on('SIGINT', this.#onSignal)
    process.on('SIGTERM', this.#onSignal)
  }

  /** Aborted when the program is to end. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Ends when standard input ends: a parent that is killed can tell in no other way. */
  withStandardInput(): void {
    const end = () => this.end('the end of standard input')
    process.stdin.on('end', end).on('close', end).on('error', end)
    process.stdin.resume()
  }

  end(why: string): void {
    if (this.signal.aborted) return
    // Standard input keeps a process alive as long as somebody could write to it.
    process.stdin.destroy()
    this.#deadline = setTimeout(() => {
      console.error(`weir: not everything ended within ${END_DEADLINE_MS} ms after ${why}`)
      process.exit(EXIT_OVERDUE)
    }, END_DEADLINE_MS)
    this.#deadline.unref()
    this.#abort.abort(why)
  }

  [Symbol.dispose](): void {
    process.off('SIGINT', this.#onSignal)
    process.off('SIGTERM', this.#onSignal)
    process.stdin.destroy()
    if (!this.signal.aborted) return
    clearTimeout(this.#deadline)
    // All has ended. Output that nobody reads would keep the process alive, and cannot be given up in another way.
    setTimeout(() => process.exit(), LAST_OUTPUT_MS).unref()
  }
}
