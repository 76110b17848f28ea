/**
 * A QUIC connection as a machine: datagrams in, datagrams out by effects, one time at which it wants to be woken.
 *
 * The shell calls `receive` for each datagram, uses the streams, and calls `flush` once for all of it, so that one
 * acknowledgement stands for a batch. Peers never make it throw: what breaks a rule ends the connection with its code.
 *
 * Memory: the accounts of its options, which its owner closes after `ended`; see the README.
 */
import { type Fold, type Instant, instant, NEVER, Reentry } from '../machine/index.ts'
import type { ConnectionEffects, ConnectionOptions } from './connection/connection-options.ts'
import { ConnectionState, type Ending } from './connection/connection-state.ts'
import { FramesIn } from './connection/frames-in.ts'
import { PacketsIn } from './connection/packets-in.ts'
import { PacketsOut } from './connection/packets-out.ts'
import type { Remote } from './connection/path.ts'
import type { PacketSpace } from './connection/space.ts'
import { DATAGRAM_BYTES_MIN, PacketHead } from './packet/header.ts'
import type { Stream } from './streams/streams.ts'

/** A timer this late says that the program stood still, and not that the peer is silent. */
const LATE_US = 10_000
/** What waits in the socket gets so long to be read. */
const GRACE_US = 2_000
const HUNGRY_RETRY_US = 25_000
const LINGER_PROBES = 3

export type ConnectionEvent =
  | { readonly type: 'datagram'; readonly bytes: Uint8Array; readonly remote: Remote }
  | { readonly type: 'flush' }
  | { readonly type: 'close'; readonly code: number; readonly reason: string }

export class ConnectionMachine implements Disposable {
  readonly #state: ConnectionState
  readonly #frames: FramesIn
  readonly #in: PacketsIn
  readonly #out: PacketsOut
  readonly #reentry = new Reentry()
  #ended = false
  #graceUntil = 0
  #wakeAt: Instant = NEVER

  /** @throws {WeirError} `LIMIT` when the first credit cannot be charged. */
  constructor(options: ConnectionOptions, now: Instant, head = new PacketHead()) {
    this.#state = new ConnectionState(options, now)
    this.#frames = new FramesIn(this.#state)
    this.#in = new PacketsIn(this.#state, this.#frames, head)
    this.#out = new PacketsOut(this.#state)
    // The first flush sets it.
    this.#wakeAt = now
  }

  get ended(): boolean {
    return this.#ended
  }

  get up(): boolean {
    return this.#state.up
  }

  get remote(): Remote {
    return this.#state.paths.current.remote
  }

  /** Whether something authentic came, be it a Retry: where that came from the peer is. */
  get heard(): boolean {
    return this.#state.heard || this.#state.retrySource !== undefined
  }

  /** For tests and metrics. */
  get stats() {
    const { recovery, keys, paths, streams, forged, taken, application } = this.#state
    return {
      taken,
      ranges: application.received.count,
      inFlight: recovery.inFlight,
      window: recovery.congestion.window,
      smoothedUs: recovery.rtt.smoothed,
      keyUpdates: keys?.updates ?? 0,
      moves: paths.moves,
      streams: streams.size,
      forged,
    }
  }

  /** The client says hello; the server waits for that. */
  start(now: Instant, effects: ConnectionEffects): void {
    this.#enter(now, effects, () => this.#state.tls.start(this.#state))
  }

  handle(event: ConnectionEvent, now: Instant, effects: ConnectionEffects): void {
    if (event.type === 'datagram') this.receive(event.bytes, event.remote, now, effects)
    else if (event.type === 'flush') this.flush(now, effects)
    else this.close(event.code, event.reason, now, effects)
  }

  /** A datagram came; it is changed in place. Nothing is sent before `flush`. */
  receive(bytes: Uint8Array, remote: Remote, now: Instant, effects: ConnectionEffects): void {
    if (this.#ended) return
    this.#enter(now, effects, () => this.#in.receive(bytes, remote))
    if (this.#state.ending) this.#finish(now, effects)
  }

  /** Sends what is due. */
  flush(now: Instant, effects: ConnectionEffects): void {
    if (this.#ended) return
    this.#enter(now, effects, () => this.#out.flush())
    this.#wakeAt = this.#nextWake()
  }

  wake(now: Instant, effects: ConnectionEffects): void {
    if (this.#ended) return
    this.#enter(now, effects, () => this.#timers(now))
    if (this.#state.ending) this.#finish(now, effects)
    else this.flush(now, effects)
  }

  get wakeAt(): Instant {
    return this.#ended ? NEVER : this.#wakeAt
  }

  /** Ends the connection with an application code. */
  close(code: number, reason: string, now: Instant, effects: ConnectionEffects): void {
    this.#endWith({ by: 'local', application: true, code, reason, told: true }, now, effects)
  }

  /** Ends it with a code of QUIC, as for a handshake that we give up. */
  abandon(code: number, reason: string, now: Instant, effects: ConnectionEffects): void {
    this.#endWith({ by: 'local', application: false, code, reason, told: true }, now, effects)
  }

  // Streams. What they cause is sent with the next flush.

  open(bidi: boolean): Stream | undefined {
    return this.#ended || !this.#state.up ? undefined : this.#state.streams.open(bidi)
  }

  accept(stream: Stream, now: Instant, effects: ConnectionEffects): void {
    if (!this.#ended) this.#enter(now, effects, () => this.#state.streams.accept(stream))
  }

  /** @returns how many bytes were taken. */
  write(stream: Stream, bytes: Uint8Array, from: number): number {
    return this.#state.streams.write(stream, bytes, from)
  }

  finish(stream: Stream): void {
    this.#state.streams.finish(stream)
  }

  reset(stream: Stream, code: number): void {
    this.#state.streams.reset(stream, code)
  }

  read(stream: Stream, bytesMax: number, now: Instant, effects: ConnectionEffects) {
    if (this.#ended) return undefined
    return this.#enter(now, effects, () => this.#state.streams.read(stream, bytesMax))
  }

  stop(stream: Stream, code: number, now: Instant, effects: ConnectionEffects): void {
    if (!this.#ended) this.#enter(now, effects, () => this.#state.streams.stop(stream, code))
  }

  /** Whether a datagram that leads nowhere is a reset of this connection by its peer. */
  isReset(bytes: Uint8Array): boolean {
    return this.#state.remoteIds.isReset(bytes, bytes.length)
  }

  /** The peer has lost all memory of the connection. */
  peerReset(now: Instant, effects: ConnectionEffects): void {
    const reason = 'the peer knows nothing of this connection; it was started anew'
    this.#endWith({ by: 'lost', application: false, code: 0, reason, told: false }, now, effects)
  }

  digest(fold: Fold): void {
    const { initial, handshake, application, recovery, streams } = this.#state
    for (const space of [initial, handshake, application]) {
      fold(space.nextNumber)
      fold(space.largestReceived)
      fold(space.largestAcked)
      fold(space.sent.size)
    }
    fold(recovery.inFlight)
    fold(Math.floor(recovery.congestion.window))
    fold(streams.size)
    fold(this.#ended ? 1 : 0)
  }

  /** Ends it without a word; nothing is told. */
  [Symbol.dispose](): void {
    if (this.#ended) return
    this.#ended = true
    this.#free()
  }

  #enter<T>(now: Instant, effects: ConnectionEffects, run: () => T): T {
    const state = this.#state
    return this.#reentry.enter(() => {
      state.now = now
      state.effects = effects
      try {
        return run()
      } finally {
        state.effects = undefined
      }
    })
  }

  #endWith(ending: Ending, now: Instant, effects: ConnectionEffects): void {
    if (this.#ended) return
    this.#state.end(ending)
    this.#finish(now, effects)
  }

  #finish(now: Instant, effects: ConnectionEffects): void {
    const state = this.#state
    const ending = state.ending!
    this.#ended = true
    let farewell: Uint8Array | undefined
    this.#enter(now, effects, () => {
      if (!ending.told) return
      const length = this.#out.close(ending)
      if (length === 0) return
      farewell = state.options.buffer.slice(0, length)
      effects.send(state.options.buffer, length, state.paths.current.remote)
    })
    const lingerUs = LINGER_PROBES * state.recovery.probeUs(state.application)
    const { remote } = this
    const ids = [...state.localIds.ids()]
    this.#free((stream) => effects.gone(stream))
    const application = ending.application
    effects.ended({
      info: {
        code: application ? ending.code : 0,
        reason: ending.reason,
        by: application ? ending.by : 'lost',
      },
      transportCode: application ? -1 : ending.code,
      farewell,
      remote,
      ids,
      lingerUs,
    })
  }

  #free(gone?: (stream: Stream) => void): void {
    const state = this.#state
    this.#wakeAt = NEVER
    state.drop(state.initial)
    state.drop(state.handshake)
    state.drop(state.application)
    state.keys?.[Symbol.dispose]()
    state.streams.end(gone)
    state.localIds.end()
    state.tls[Symbol.dispose]()
  }

  #timers(now: Instant): void {
    const state = this.#state
    const { keys, paths, streams } = state
    if (now >= this.#idleAt()) {
      const reason = state.up ? 'the peer was silent for too long' : 'the handshake took too long'
      return state.end({ by: 'lost', application: false, code: 0, reason, told: false })
    }
    if (keys && now >= keys.previousUntil) keys.forgetPrevious()
    if (now >= paths.current.proveUntil && !paths.current.validated && !paths.expire()) {
      const reason = 'the peer is no longer where it was'
      return state.end({ by: 'lost', application: false, code: 0x10, reason, told: false })
    }
    if (streams.hungry) streams.retry()
    if (now >= this.#keepAliveAt()) state.pingDue = true
    this.#lossTimers(now)
  }

  #lossTimers(now: Instant): void {
    const state = this.#state
    const { recovery, initial, handshake, application } = state
    const due = this.#lossAt()
    if (now < due) return
    if (now - due > LATE_US && this.#graceUntil < due) {
      // The answer may lie in the socket: it is read first.
      this.#graceUntil = now + GRACE_US
      return
    }
    for (const space of [initial, handshake, application]) {
      if (now < space.lossAt) continue
      this.#frames.space = space
      recovery.detectLost(space, now, this.#frames)
    }
    for (const space of [initial, handshake, application]) {
      if (now < this.#probeAt(space)) continue
      this.#frames.space = space
      recovery.probe(space, this.#frames)
      recovery.probeCount++
      space.lastElicitingAt = now
      return
    }
  }

  /** When a probe of this space is due. */
  #probeAt(space: PacketSpace): number {
    const state = this.#state
    if (space.dropped || (space === state.application && !state.confirmed)) return NEVER
    if (space.sent.size > 0) return space.lastElicitingAt + state.recovery.probeUs(space)
    // A client keeps asking until the server has proved its address (RFC 9002 section 6.2.2.1).
    if (!state.client || state.confirmed) return NEVER
    const newest = state.handshake.write ? state.handshake : state.initial
    if (space !== newest) return NEVER
    return Math.max(space.lastElicitingAt, state.heardAt) + state.recovery.probeUs(space)
  }

  #lossAt(): number {
    const { initial, handshake, application } = this.#state
    let at = Math.min(initial.lossAt, handshake.lossAt, application.lossAt)
    for (const space of [initial, handshake, application]) at = Math.min(at, this.#probeAt(space))
    return at
  }

  #idleAt(): number {
    const { heardAt, spokeAt, idleUs, recovery, application } = this.#state
    const least = LINGER_PROBES * recovery.probeUs(application)
    return Math.max(heardAt, spokeAt) + Math.max(idleUs, least)
  }

  #keepAliveAt(): number {
    const { up, heardAt, application, options, pingDue } = this.#state
    if (!up || pingDue || options.limits.keepAliveMs === 0) return NEVER
    return Math.max(heardAt, application.lastElicitingAt) + options.limits.keepAliveMs * 1000
  }

  #nextWake(): Instant {
    const state = this.#state
    const { initial, handshake, application, keys, paths, streams } = state
    let at = Math.min(this.#idleAt(), this.#keepAliveAt(), this.#out.pacedUntil)
    if (paths.current.allowance >= DATAGRAM_BYTES_MIN) {
      at = Math.min(at, Math.max(this.#lossAt(), this.#graceUntil))
      for (const space of [initial, handshake, application]) at = Math.min(at, space.ackAt)
    }
    if (keys) at = Math.min(at, keys.previousUntil)
    at = Math.min(at, paths.current.proveUntil)
    if (streams.hungry) at = Math.min(at, state.now + HUNGRY_RETRY_US)
    return instant(Math.ceil(at))
  }
}
