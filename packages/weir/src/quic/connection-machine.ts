/**
 * A QUIC connection as a machine: datagrams in, datagrams out by effects, one time at which it wants to be woken.
 *
 * The shell calls `receive` for each datagram, uses the streams, and calls `flush` once for all of it, so that one
 * acknowledgement stands for a batch. Peers never make it throw: what breaks a rule ends the connection with its code.
 *
 * Inside it counts time in which the program ran. When it is called much later than it wanted to be woken, the event
 * loop stood still, and what was late is left out: no packet is lost and no peer is silent because we did not listen.
 *
 * Memory: the accounts of its options, which its owner closes after `ended`; see the README.
 */
import { type Fold, type Instant, instant, NEVER } from '../machine/index.ts'
import { assert } from '../runtime/index.ts'
import type { ConnectionEffects, ConnectionOptions } from './connection/connection-options.ts'
import { ConnectionState, type Ending } from './connection/connection-state.ts'
import { FramesIn } from './connection/frames-in.ts'
import { PacketsIn } from './connection/packets-in.ts'
import { PacketsOut } from './connection/packets-out.ts'
import type { Remote } from './connection/path.ts'
import type { PacketSpace } from './connection/space.ts'
import { ErrorCode } from './packet/errors.ts'
import { PacketHead } from './packet/header.ts'
import type { Stream } from './streams/streams.ts'

/** A timer this late says that the program stood still, and not that the peer is silent. */
const LATE_US = 10_000
/** What waits in the socket gets so long to be read. */
const GRACE_US = 2_000
const HUNGRY_RETRY_US = 25_000
const LINGER_PROBES = 3
/** A peer that gives up early is kept alive early enough, whatever the option says. */
const KEEP_ALIVES_PER_IDLE = 3
/** Who gives up earlier than a few of these is not kept: its word alone must not make us send without a pause. */
const KEEP_ALIVE_LEAST_US = 100_000

export class ConnectionMachine implements Disposable {
  readonly #state: ConnectionState
  readonly #frames: FramesIn
  readonly #in: PacketsIn
  readonly #out: PacketsOut
  #ended = false
  /** In the time of the machine, as all below. */
  #wakeAt: number = NEVER
  /** How long the program stood still, all in all. */
  #stalledUs = 0
  /** No silence counts before. */
  #graceUntil = 0

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
    const { recovery, keys, paths, streams, forged, taken, application, datagrams } = this.#state
    return {
      taken,
      lost: recovery.lostPackets,
      probes: recovery.probes,
      collapses: recovery.collapses,
      mtu: recovery.mtu.current,
      blackHoles: recovery.mtu.blackHoles,
      stalledUs: this.#stalledUs,
      datagramsSent: datagrams?.sent ?? 0,
      datagramsDropped: datagrams?.dropped ?? 0,
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
    this.#enter(now, effects)
    this.#state.tls.start(this.#state)
    this.#leave()
  }

  /** A datagram came; it is changed in place. Nothing is sent before `flush`. */
  receive(bytes: Uint8Array, remote: Remote, now: Instant, effects: ConnectionEffects): void {
    if (this.#ended) return
    this.#enter(now, effects)
    this.#in.receive(bytes, remote)
    this.#leave()
    if (this.#state.ending) this.#finish(now, effects)
  }

  /** Sends what is due. */
  flush(now: Instant, effects: ConnectionEffects): void {
    if (this.#ended) return
    this.#enter(now, effects)
    this.#out.flush()
    this.#leave()
    if (this.#state.ending) this.#finish(now, effects)
    else this.#wakeAt = this.#nextWake()
  }

  wake(now: Instant, effects: ConnectionEffects): void {
    if (this.#ended) return
    this.#enter(now, effects)
    this.#timers(this.#state.now)
    this.#leave()
    if (this.#state.ending) this.#finish(now, effects)
    else this.flush(now, effects)
  }

  get wakeAt(): Instant {
    return this.#ended ? NEVER : instant(this.#wakeAt + this.#stalledUs)
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
    if (this.#ended) return
    this.#enter(now, effects)
    this.#state.streams.accept(stream)
    this.#leave()
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
    this.#enter(now, effects)
    const bytes = this.#state.streams.read(stream, bytesMax)
    this.#leave()
    return bytes
  }

  stop(stream: Stream, code: number, now: Instant, effects: ConnectionEffects): void {
    if (this.#ended) return
    this.#enter(now, effects)
    this.#state.streams.stop(stream, code)
    this.#leave()
  }

  // Unreliable messages (RFC 9221).

  /** The longest message that can be sent now, 0 when the peer takes none. */
  get datagramBytesMax(): number {
    return this.#ended ? 0 : (this.#state.datagrams?.bytesMax(this.#out.messageRoom) ?? 0)
  }

  /** Takes a copy, which is sent with the next flush. @returns false when it is too long or cannot be held. */
  sendDatagram(bytes: Uint8Array): boolean {
    const { datagrams, up } = this.#state
    if (!datagrams || !up || this.#ended) return false
    return datagrams.send(bytes, this.#out.messageRoom)
  }

  /** The oldest message that has come, undefined when there is none. */
  readDatagram(): Uint8Array | undefined {
    return this.#ended ? undefined : this.#state.datagrams?.read()
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

  /** Each entry is left again before anything else; effects only note. */
  #enter(now: Instant, effects: ConnectionEffects): void {
    const state = this.#state
    assert(state.effects === undefined, 'a machine was called from one of its own effects')
    if (now - this.#stalledUs - this.#wakeAt > LATE_US) {
      const here = Math.max(this.#wakeAt, state.now)
      this.#stalledUs = now - here
      // The answer may lie in the socket: it is read before silence counts. Once, or a slow program would never know.
      if (this.#wakeAt > this.#graceUntil) this.#graceUntil = here + GRACE_US
    }
    state.now = Math.max(now - this.#stalledUs, state.now)
    state.clockNow = now
    state.effects = effects
  }

  #leave(): void {
    this.#state.effects = undefined
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
    this.#enter(now, effects)
    const length = ending.told ? this.#out.close(ending) : 0
    const farewell = length > 0 ? state.options.buffer.slice(0, length) : undefined
    if (length > 0) effects.send(state.options.buffer, length, state.paths.current.remote)
    this.#leave()
    const lingerUs = LINGER_PROBES * state.recovery.firstProbeUs(state.application)
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
    state.streams.end(gone)
    state.free()
  }

  #timers(now: number): void {
    const state = this.#state
    const { keys, paths, streams, recovery, application } = state
    const heard = now >= this.#graceUntil
    if (heard && now >= this.#idleAt()) {
      const reason = state.up ? 'the peer was silent for too long' : 'the handshake took too long'
      return state.end({ by: 'lost', application: false, code: 0, reason, told: false })
    }
    if (keys && now >= keys.previousUntil) keys.forgetPrevious()
    const { current } = paths
    if (!current.validated && now >= current.proveUntil && !paths.expire()) {
      const reason = 'the peer is no longer where it was'
      const code = ErrorCode.noViablePath
      return state.end({ by: 'lost', application: false, code, reason, told: false })
    }
    if (now >= current.challengeAt) {
      current.challengeDue = true
      current.challengeAt = now + recovery.firstProbeUs(application)
    }
    if (streams.hungry) streams.retry()
    // A probe, which goes out even when the window is full of what nobody acknowledges.
    if (now >= this.#keepAliveAt()) application.probes = 1
    if (heard) this.#lossTimers(now)
  }

  #lossTimers(now: number): void {
    const { recovery, initial, handshake, application } = this.#state
    for (const space of [initial, handshake, application]) {
      if (now < space.lossAt) continue
      this.#frames.space = space
      recovery.detectLost(space, now, this.#frames)
    }
    for (const space of [initial, handshake, application]) {
      if (now < this.#probeAt(space)) continue
      this.#frames.space = space
      recovery.probe(space, now, this.#frames)
      return
    }
  }

  /** When a probe of this space is due. */
  #probeAt(space: PacketSpace): number {
    const state = this.#state
    if (space.dropped || (space === state.application && !state.confirmed)) return NEVER
    if (space.sent.size > 0) return space.lastElicitingAt + state.recovery.probeUs(space)
    // A client keeps asking until the server has proved its address (RFC 9002 section 6.2.2.1).
    if (!state.client || state.confirmed || state.recovery.peerValidated) return NEVER
    const newest = state.handshake.write ? state.handshake : state.initial
    if (space !== newest) return NEVER
    return Math.max(space.lastElicitingAt, state.heardAt) + state.recovery.probeUs(space)
  }

  #lossAt(): number {
    const { initial, handshake, application } = this.#state
    return Math.min(
      initial.lossAt,
      handshake.lossAt,
      application.lossAt,
      this.#probeAt(initial),
      this.#probeAt(handshake),
      this.#probeAt(application),
    )
  }

  #idleAt(): number {
    const { heardAt, spokeAt, idleUs, recovery, application } = this.#state
    // Not of the timeout as it was backed off, which would move on for ever.
    const least = LINGER_PROBES * recovery.firstProbeUs(application)
    return Math.max(heardAt, spokeAt) + Math.max(idleUs, least)
  }

  #keepAliveAt(): number {
    const { up, heardAt, application, options, idleUs } = this.#state
    const { keepAliveMs } = options.limits
    if (!up || application.probes > 0 || keepAliveMs === 0) return NEVER
    const least = Math.max(idleUs / KEEP_ALIVES_PER_IDLE, KEEP_ALIVE_LEAST_US)
    const afterUs = Math.min(keepAliveMs * 1000, least)
    return Math.max(heardAt, application.lastElicitingAt) + afterUs
  }

  #nextWake(): number {
    const state = this.#state
    const { initial, handshake, application, keys, paths, streams, recovery } = state
    const { current } = paths
    const { maySend } = state
    const silence = maySend ? Math.min(this.#idleAt(), this.#lossAt()) : this.#idleAt()
    let at = Math.max(silence, this.#graceUntil)
    at = Math.min(at, this.#keepAliveAt(), this.#out.pacedUntil)
    if (maySend) {
      at = Math.min(at, initial.ackAt, handshake.ackAt, application.ackAt, current.challengeAt)
    }
    if (keys) at = Math.min(at, keys.previousUntil)
    if (state.confirmed) at = Math.min(at, recovery.mtu.searchAt)
    at = Math.min(at, current.proveUntil)
    if (streams.hungry || this.#out.starved) at = Math.min(at, state.now + HUNGRY_RETRY_US)
    return Math.ceil(at)
  }
}
