/**
 * The streams of a connection: opens them, hands frames to their halves, and fills packets from those that have
 * something to say, in turn.
 *
 * A peer may open as many streams of a kind as it was granted; one more is granted when one has ended and was
 * accepted. Of our own at most as many are open.
 *
 * Memory: the entries of `transport.streams`, the credit, the send buffers and the gaps of the connection; all end with
 * `end`.
 */
import { BoundedMap } from '../../bounds/index.ts'
import type { PacketWriter } from '../connection/packet-writer.ts'
import { FrameType } from '../frames/frame-types.ts'
import { writeNumbers } from '../frames/write-frames.ts'
import { ErrorCode, type Violation, violation } from '../packet/errors.ts'
import type { TransportParameters } from '../packet/parameters.ts'
import { Ref } from '../recovery/sent-packets.ts'
import { ReceiveCredit, SendCredit } from './credit.ts'
import { CONTROL_ROOM, fillStream } from './fill-stream.ts'
import { ReceivePart } from './receive-part.ts'
import { SendPart } from './send-part.ts'
import type { Stream, StreamsOptions } from './stream.ts'
import { StreamLimit } from './stream-limit.ts'

export type { Stream, StreamEvents, StreamsLimits, StreamsOptions } from './stream.ts'

export class Streams {
  readonly #options: StreamsOptions
  readonly #streams: BoundedMap<number, Stream>
  readonly #side: 0 | 1
  readonly #bidi: StreamLimit
  readonly #uni: StreamLimit
  readonly credit: ReceiveCredit
  readonly sendCredit = new SendCredit()
  #sendLimits: TransportParameters | undefined
  #head: Stream | undefined
  #tail: Stream | undefined
  #maxDataDue = false
  /** Streams whose write waits, and streams without their first window. */
  #starved = 0
  #ungranted = 0

  /** @throws {WeirError} `LIMIT` when the first credit cannot be charged. */
  constructor(options: StreamsOptions) {
    const { limits, accounts } = options
    this.#options = options
    this.#side = options.client ? 0 : 1
    this.#bidi = new StreamLimit(limits.streamsMax)
    this.#uni = new StreamLimit(limits.streamsMax)
    this.credit = new ReceiveCredit(accounts.receive, 2 * limits.windowFirstBytes)
    this.#streams = new BoundedMap(accounts.streams)
  }

  /** What we tell the peer at the start. */
  fillParameters(parameters: TransportParameters): void {
    const { limits } = this.#options
    parameters.initialMaxData = this.credit.advertised
    parameters.streamDataBidiLocal = limits.windowFirstBytes
    parameters.streamDataBidiRemote = limits.windowFirstBytes
    parameters.streamDataUni = limits.windowFirstBytes
    parameters.streamsBidi = limits.streamsMax
    parameters.streamsUni = limits.streamsMax
  }

  peerParameters(parameters: TransportParameters): void {
    this.#sendLimits = parameters
    this.sendCredit.limit = parameters.initialMaxData
    this.#bidi.ownLimit = parameters.streamsBidi
    this.#uni.ownLimit = parameters.streamsUni
  }

  get size(): number {
    return this.#streams.size
  }

  get pending(): boolean {
    return this.#head !== undefined || this.#limitsDue
  }

  /** Whether the limits of the connection have something to say, or to ask for. */
  get #limitsDue(): boolean {
    return (
      this.#maxDataDue || this.#bidi.pending || this.#uni.pending || this.sendCredit.blocked.due
    )
  }

  /** Whether something waits for memory that is elsewhere: `retry` has to be called now and then. */
  get hungry(): boolean {
    return this.#ungranted > 0 || (this.#starved > 0 && this.sendCredit.left > 0)
  }

  /** Opens a stream; undefined while the peer, or our own cap, allows none. */
  open(bidi: boolean): Stream | undefined {
    const limit = bidi ? this.#bidi : this.#uni
    if (!this.#sendLimits) return undefined
    if (!limit.mayOpen) {
      limit.wanted()
      return undefined
    }
    const id = 4 * limit.ownOpened + (bidi ? 0 : 2) + this.#side
    const stream = this.#create(id, bidi, true)
    if (this.#streams.set(id, stream) !== 'ok') {
      this.#forgetReceive(stream)
      return undefined
    }
    limit.opened()
    return stream
  }

  write(stream: Stream, bytes: Uint8Array, from: number): number {
    const send = stream.send!
    const before = send.starved
    const taken = send.write(bytes, from)
    if (send.starved !== before) this.#starved += send.starved ? 1 : -1
    if (send.starved && this.sendCredit.left <= 0)
      this.sendCredit.blocked.wait(this.sendCredit.limit)
    if (taken > 0 || send.blocked.due) this.#activate(stream)
    return taken
  }

  finish(stream: Stream): void {
    stream.send!.finish()
    this.#activate(stream)
  }

  reset(stream: Stream, code: number): void {
    this.#unstarve(stream)
    stream.send!.reset(code)
    this.#activate(stream)
  }

  read(stream: Stream, bytesMax: number): Uint8Array | undefined {
    const receive = stream.receive!
    const bytes = receive.read(bytesMax)
    if (!bytes) return undefined
    if (receive.creditDue) this.#activate(stream)
    this.#consumed()
    if (receive.done) this.#release(stream)
    return bytes
  }

  stop(stream: Stream, code: number): void {
    const receive = stream.receive!
    receive.stop(code)
    if (receive.stopDue) this.#activate(stream)
    this.#consumed()
    if (receive.done) this.#release(stream)
  }

  /** The program has taken a stream of the peer. */
  accept(stream: Stream): void {
    stream.accepted = true
    this.#release(stream)
  }

  /** Tries again what could not be charged. */
  retry(): void {
    if (this.#ungranted === 0 && this.#starved === 0) return
    for (const stream of this.#streams.values()) {
      if (stream.receive?.grant()) {
        this.#ungranted--
        this.#maxDataDue = true
      }
      this.#serve(stream)
    }
  }

  // Frames of the peer.

  stream(
    id: number,
    offset: number,
    bytes: Uint8Array,
    from: number,
    length: number,
    fin: boolean,
  ): Violation | undefined {
    const stream = this.#receiver(id)
    if (!isStream(stream)) return stream
    return stream.receive!.data(offset, bytes, from, length, fin) ?? this.#arrived(stream)
  }

  resetStream(id: number, code: number, finalSize: number): Violation | undefined {
    const stream = this.#receiver(id)
    if (!isStream(stream)) return stream
    return stream.receive!.reset(code, finalSize) ?? this.#arrived(stream)
  }

  #arrived(stream: Stream): undefined {
    this.#show(stream)
    this.#options.events.readable(stream)
    this.#consumed()
    if (stream.receive!.done) this.#release(stream)
  }

  stopSending(id: number, code: number): Violation | undefined {
    const stream = this.#sender(id)
    if (!isStream(stream)) return stream
    const send = stream.send!
    this.#show(stream)
    if (send.stopCode >= 0) return undefined
    send.stopCode = code
    this.#options.events.stopped(stream, code)
    // A stream that was stopped answers with a reset (RFC 9000 section 3.5).
    if (!send.done) this.reset(stream, code)
    return undefined
  }

  maxData(limit: number): undefined {
    if (limit <= this.sendCredit.limit) return
    // With some left nobody waits for this, and a peer that gives a byte in each frame has us look at nobody.
    const waited = this.sendCredit.left <= 0
    this.sendCredit.limit = limit
    this.sendCredit.blocked.go()
    if (waited) this.#serveAll()
  }

  maxStreamData(id: number, limit: number): Violation | undefined {
    const stream = this.#sender(id)
    if (!isStream(stream)) return stream
    this.#show(stream)
    if (limit <= stream.send!.limit) return undefined
    stream.send!.limit = limit
    stream.send!.blocked.go()
    this.#serve(stream)
    return undefined
  }

  maxStreams(bidi: boolean, limit: number): undefined {
    const own = bidi ? this.#bidi : this.#uni
    if (own.allowed(limit)) this.#options.events.granted(bidi)
  }

  /** STREAM_DATA_BLOCKED: says that the stream exists. */
  blocked(id: number): Violation | undefined {
    const stream = this.#receiver(id)
    return isStream(stream) ? undefined : stream
  }

  // What was sent.

  acked(kind: number, id: number, offset: number, length: number): void {
    if (kind !== Ref.stream && kind !== Ref.resetStream) return
    const stream = this.#streams.peek(id)
    const send = stream?.send
    if (!stream || !send) return
    if (kind === Ref.resetStream) send.resetAcked()
    else send.acked(offset, Math.floor(length / 2), length % 2 === 1)
    if (send.done) this.#release(stream)
    else this.#serve(stream)
  }

  lost(kind: number, id: number, offset: number, length: number): void {
    if (kind === Ref.maxData) this.#maxDataDue = true
    else if (kind === Ref.maxStreams) (id === 0 ? this.#bidi : this.#uni).lost()
    else if (kind === Ref.dataBlocked) this.sendCredit.blocked.lost(offset)
    else if (kind === Ref.streamsBlocked) (id === 0 ? this.#bidi : this.#uni).blocked.lost(offset)
    else {
      const stream = this.#streams.peek(id)
      if (!stream) return
      if (kind === Ref.stream) {
        stream.send?.lost(offset, Math.floor(length / 2), length % 2 === 1)
      } else if (kind === Ref.resetStream) stream.send?.resetLost()
      else if (kind === Ref.stopSending) stream.receive?.stopLost()
      else if (kind === Ref.maxStreamData) stream.receive?.creditLost()
      else if (kind === Ref.streamDataBlocked) stream.send?.blocked.lost(offset)
      this.#activate(stream)
    }
  }

  /** Writes what is due, as far as there is room. */
  fill(packet: PacketWriter): void {
    if (this.#limitsDue) this.#fillLimits(packet)
    let rounds = this.#streams.size + 1
    while (this.#head && rounds-- > 0) {
      const stream = this.#head
      const more = !fillStream(packet, stream.id, stream.send, stream.receive)
      this.#head = stream.nextActive
      if (!this.#head) this.#tail = undefined
      stream.nextActive = undefined
      stream.active = false
      if (!more) continue
      // The others go first in the next packet.
      this.#activate(stream)
      return
    }
  }

  /** The connection is over: gives everything back. */
  end(gone?: (stream: Stream) => void): void {
    for (const stream of this.#streams.values()) {
      stream.send?.free()
      stream.receive?.free()
      stream.nextActive = undefined
      gone?.(stream)
    }
    this.#head = this.#tail = undefined
    this.#streams[Symbol.dispose]()
    this.credit.close()
  }

  streams(): IterableIterator<Stream> {
    return this.#streams.values()
  }

  #fillLimits(packet: PacketWriter): void {
    const { bytes } = packet
    if (this.#maxDataDue && packet.fits(CONTROL_ROOM)) {
      this.#maxDataDue = false
      const limit = this.credit.advertise()
      packet.wrote(writeNumbers(bytes, packet.at, FrameType.maxData, limit), Ref.maxData)
    }
    for (const bidi of BOTH) {
      const limit = bidi ? this.#bidi : this.#uni
      if (!limit.grantDue || !packet.fits(CONTROL_ROOM)) continue
      const type = bidi ? FrameType.maxStreamsBidi : FrameType.maxStreamsUni
      const at = writeNumbers(bytes, packet.at, type, limit.advertise())
      packet.wrote(at, Ref.maxStreams, bidi ? 0 : 1)
    }
    const { blocked } = this.sendCredit
    if (blocked.due && packet.fits(CONTROL_ROOM)) {
      const limit = blocked.tell()
      const at = writeNumbers(bytes, packet.at, FrameType.dataBlocked, limit)
      packet.wrote(at, Ref.dataBlocked, 0, limit)
    }
    for (const bidi of BOTH) {
      const { blocked: waits } = bidi ? this.#bidi : this.#uni
      if (!waits.due || !packet.fits(CONTROL_ROOM)) continue
      const type = bidi ? FrameType.streamsBlockedBidi : FrameType.streamsBlockedUni
      const limit = waits.tell()
      const at = writeNumbers(bytes, packet.at, type, limit)
      packet.wrote(at, Ref.streamsBlocked, bidi ? 0 : 1, limit)
    }
  }

  /** The stream whose receiving half a frame is for; undefined when it has ended, or a violation. */
  #receiver(id: number): Stream | Violation | undefined {
    const uni = (id & 2) !== 0
    if (uni && this.#isOwn(id)) return violation(ErrorCode.streamState, 'data on a stream of ours')
    return this.#find(id)
  }

  #sender(id: number): Stream | Violation | undefined {
    const uni = (id & 2) !== 0
    if (uni && !this.#isOwn(id)) {
      return violation(ErrorCode.streamState, 'credit on a stream that we receive')
    }
    return this.#find(id)
  }

  #isOwn(id: number): boolean {
    return (id & 1) === this.#side
  }

  #find(id: number): Stream | Violation | undefined {
    const found = this.#streams.peek(id)
    if (found) return found
    const bidi = id % 4 < 2
    const limit = bidi ? this.#bidi : this.#uni
    const index = Math.floor(id / 4)
    if ((id % 2 === 1 ? 1 : 0) === this.#side) {
      return index < limit.ownOpened
        ? undefined
        : violation(ErrorCode.streamState, 'a stream of ours that was never opened')
    }
    if (index >= limit.advertised) return violation(ErrorCode.streamLimit, 'too many streams')
    let last: Stream | undefined
    // A stream opens all of its kind before it.
    while (limit.foreignOpened <= index) {
      const each = 4 * limit.foreignOpened + (bidi ? 0 : 2) + (1 - this.#side)
      last = this.#create(each, bidi, false)
      if (this.#streams.set(each, last) !== 'ok') {
        this.#forgetReceive(last)
        return violation(ErrorCode.internal, 'no place for a stream that was granted')
      }
      limit.foreignOpened++
    }
    return last
  }

  #create(id: number, bidi: boolean, own: boolean): Stream {
    const { limits, accounts } = this.#options
    const peer = this.#sendLimits!
    const sends = bidi || own
    const limit = bidi
      ? own
        ? peer.streamDataBidiRemote
        : peer.streamDataBidiLocal
      : peer.streamDataUni
    const receive =
      bidi || !own
        ? new ReceivePart(
            this.credit,
            accounts.gaps,
            limits.windowFirstBytes,
            limits.windowBytesMax,
          )
        : undefined
    if (receive) {
      if (receive.ungranted) this.#ungranted++
      else this.#maxDataDue = true
    }
    return {
      id,
      bidi,
      own,
      send: sends
        ? new SendPart(accounts, this.sendCredit, limit, limits.sendBufferBytesMax)
        : undefined,
      receive,
      accepted: own,
      shown: own,
      active: false,
      nextActive: undefined,
      handle: undefined,
    }
  }

  /** The first thing that a stream carries makes it acceptable. */
  #show(stream: Stream): void {
    if (stream.shown) return
    stream.shown = true
    this.#options.events.shown(stream)
  }

  #activate(stream: Stream): void {
    if (stream.active) return
    stream.active = true
    if (this.#tail) this.#tail.nextActive = stream
    else this.#head = stream
    this.#tail = stream
  }

  #consumed(): void {
    if (this.credit.due) this.#maxDataDue = true
  }

  #serveAll(): void {
    if (this.#starved === 0) return
    for (const stream of this.#streams.values()) this.#serve(stream)
  }

  #serve(stream: Stream): void {
    const { send } = stream
    if (!send?.starved || send.room === 0) return
    this.#unstarve(stream)
    this.#options.events.writable(stream)
  }

  #unstarve(stream: Stream): void {
    if (!stream.send?.starved) return
    stream.send.starved = false
    this.#starved--
  }

  /** Forgets a stream whose halves have ended and that the program has. */
  #release(stream: Stream): void {
    if (!stream.accepted) return
    if (stream.send && !stream.send.done) return
    if (stream.receive && !stream.receive.done) return
    this.#unstarve(stream)
    if (!this.#streams.delete(stream.id)) return
    stream.send?.free()
    stream.receive?.free()
    this.#forgetReceive(stream)
    const limit = stream.bidi ? this.#bidi : this.#uni
    if (!stream.own) limit.foreignEnded()
    else if (limit.ownEnded()) this.#options.events.granted(stream.bidi)
  }

  #forgetReceive(stream: Stream): void {
    const { receive } = stream
    if (!receive) return
    if (receive.ungranted) this.#ungranted--
    receive.abandon()
  }
}

const BOTH = Object.freeze([true, false] as const)

function isStream(found: Stream | Violation | undefined): found is Stream {
  return found !== undefined && 'id' in found
}
