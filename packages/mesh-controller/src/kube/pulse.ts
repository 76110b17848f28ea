/**
 * Whether a watch is alive. A healthy watch with nothing to say is silent, so silence alone proves nothing: the
 * interval of the server's bookmarks is learned, and more than two of them without a byte is a stall.
 *
 * A stall is over when the next watch has brought something, and not when it was opened: a server that accepts
 * watches and serves none stays a problem.
 */
import {
  type Clock,
  type Heartbeat,
  type Heartbeats,
  type Instant,
  msBetween,
} from 'weir-mesh/runtime'

export interface PulseOptions {
  readonly clock: Clock
  readonly heartbeats: Heartbeats | undefined
  readonly name: string
  /** Silence that is allowed while the interval of bookmarks is not known. */
  readonly silenceMsMax: number
}

/** How long our own side may take for a step: a request, a list chunk, the handler of one event. */
const STEP_MS_MAX = 8_000
const SILENCE_MS_MIN = 3_000
const GRACE_MS = 1_000

export class Pulse implements Disposable {
  readonly #options: PulseOptions
  #heartbeat: Heartbeat | undefined
  #bookmarkAt: Instant | undefined
  #intervalMs = 0
  #stalled = false

  constructor(options: PulseOptions) {
    this.#options = options
    this.#register()
  }

  get stalled(): boolean {
    return this.#stalled
  }

  /** How long the server may be silent now. */
  get silenceMs(): number {
    const { silenceMsMax } = this.#options
    if (this.#intervalMs === 0) return silenceMsMax
    return Math.min(Math.max(2 * this.#intervalMs + GRACE_MS, SILENCE_MS_MIN), silenceMsMax)
  }

  /** A step of our own begins. */
  working(): void {
    this.#heartbeat?.beat()
  }

  /** Nothing to do until the server sends something. */
  waiting(): void {
    this.#heartbeat?.idle()
  }

  /** A watch begins: the time since the last bookmark of the one before is no interval. */
  opened(): void {
    this.#bookmarkAt = undefined
  }

  /** The watch brought something. */
  received(): void {
    if (!this.#stalled) return
    this.#stalled = false
    this.#heartbeat?.[Symbol.dispose]()
    this.#register()
  }

  bookmark(): void {
    const now = this.#options.clock.now()
    if (this.#bookmarkAt !== undefined) {
      // The longest interval counts, and is forgotten slowly: servers send an early one before they end a watch.
      this.#intervalMs = Math.max(msBetween(this.#bookmarkAt, now), this.#intervalMs * 0.9)
    }
    this.#bookmarkAt = now
  }

  /** The server was silent for too long. */
  silent(): void {
    this.#stalled = true
    this.#heartbeat?.stop('the watch is silent')
  }

  /** The loop itself has ended although it should run. */
  ended(reason: string): void {
    this.#stalled = true
    this.#heartbeat?.stop(reason)
  }

  [Symbol.dispose](): void {
    this.#heartbeat?.[Symbol.dispose]()
    this.#heartbeat = undefined
  }

  #register(): void {
    const { heartbeats, name } = this.#options
    this.#heartbeat = heartbeats?.register(name, { deadlineMs: STEP_MS_MAX })
  }
}
