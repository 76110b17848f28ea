/**
 * What the parts of a connection share: spaces, keys, streams, ids, path and recovery, and how it ends.
 *
 * Memory: see the README; the parts name what they hold.
 */

import { copyBytes, equalBytes } from '../../codec/index.ts'
import type { NodeId } from '../../core/index.ts'
import type { Level, LevelSecrets, TlsEffects, TlsMachine } from '../contract.ts'
import { ACK_BYTES_MIN } from '../frames/write-frames.ts'
import { ErrorCode, type Violation } from '../packet/errors.ts'
import { CID_BYTES_MAX, DATAGRAM_BYTES_MIN, TAG_BYTES } from '../packet/header.ts'
import {
  decodeParameters,
  defaultParameters,
  encodeParameters,
  type TransportParameters,
} from '../packet/parameters.ts'
import { Recovery } from '../recovery/recovery.ts'
import { type Stream, type StreamEvents, Streams } from '../streams/streams.ts'
import { ApplicationKeys } from './application-keys.ts'
import { LocalIds, RemoteIds } from './connection-ids.ts'
import type { ConnectionEffects, ConnectionOptions } from './connection-options.ts'
import { DATAGRAM_FRAME_BYTES_MAX, DatagramQueues } from './datagrams.ts'
import { Paths, type Remote } from './path.ts'
import { PacketSpace, spaceThatIsOver } from './space.ts'

/** Why the connection is to end; set once. */
export interface Ending {
  readonly by: 'local' | 'remote' | 'lost'
  readonly application: boolean
  readonly code: number
  readonly reason: string
  /** Whether the peer is told. */
  readonly told: boolean
}

const NOTHING = new Uint8Array(0)
const ALERT_NO_PROTOCOL = 120
/**
 * So much of a handshake message that comes in pieces costs nothing more: during the handshake a client hello with a
 * post-quantum share, later a ticket. The rest is charged.
 */
const MESSAGE_BYTES_FIRST = 2_048
const TICKET_BYTES_FIRST = 512
/**
 * The least datagram that is good for something: the longest head, an acknowledgement, and the tag. With less, one would
 * be due for which there is no room, again and again without a pause.
 */
export const LATE_BYTES_MIN = 1 + CID_BYTES_MAX + 4 + ACK_BYTES_MIN + TAG_BYTES
/** What any Ethernet carries. */
const RECEIVED_BYTES_MAX = 1_500

export class ConnectionState implements TlsEffects, StreamEvents {
  readonly options: ConnectionOptions
  readonly client: boolean
  initial: PacketSpace
  handshake: PacketSpace
  readonly application: PacketSpace
  readonly recovery: Recovery
  readonly streams: Streams
  readonly datagrams: DatagramQueues | undefined
  readonly localIds: LocalIds
  readonly remoteIds: RemoteIds
  readonly paths: Paths
  readonly tls: TlsMachine
  keys: ApplicationKeys | undefined
  peer: TransportParameters | undefined
  /** The token of a Retry, repeated in each Initial, and forgotten with their keys. */
  token: Uint8Array = NOTHING
  retrySource: Uint8Array | undefined
  /** A packet of the peer was taken: its ids are fixed. */
  heard = false
  /** TLS is through: the peer is authenticated. */
  up = false
  confirmed = false
  handshakeDoneDue = false
  pingDue = false
  /** The answer to the last challenge, where it goes, and how many bytes may be spent on it. */
  pathResponse: Uint8Array | undefined
  pathResponseTo: Remote | undefined
  pathResponseRoom = 0
  forged = 0
  /** Packets that were authentic and taken. */
  taken = 0
  ending: Ending | undefined
  #messageBytes = 0
  /** The time of the machine, from which stalls of the program are taken out, and that of the clock. */
  now = 0
  clockNow = 0
  effects: ConnectionEffects | undefined
  /** When something came, and when something that the peer answers was sent first after that. */
  heardAt: number
  spokeAt: number
  idleUs: number

  constructor(options: ConnectionOptions, now: number) {
    const { limits, accounts, role } = options
    this.options = options
    this.client = role === 'client'
    this.initial = new PacketSpace('initial', accounts)
    this.handshake = new PacketSpace('handshake', accounts)
    this.application = new PacketSpace('application', accounts)
    this.recovery = new Recovery(limits.congestionWindowBytesMax, limits.congestion)
    // A server's address needs no proof: the client has dialled it.
    this.recovery.peerValidated = !this.client
    this.datagrams = accounts.datagrams && new DatagramQueues(accounts.datagrams)
    this.streams = new Streams({
      client: this.client,
      limits,
      accounts,
      events: this,
    })
    this.localIds = new LocalIds(options.router, options.shared.ids, options.localId)
    const peerId = options.peerId ?? options.originalDestination
    this.remoteIds = new RemoteIds(options.router, options.shared.ids, peerId)
    this.retrySource = options.retrySource
    this.paths = new Paths(options.remote, this.client || options.validated, options.random)
    this.heardAt = this.spokeAt = now
    this.idleUs = limits.idleTimeoutMs * 1000
    // After a Retry the client uses the id of the Retry for its keys.
    this.setInitialKeys(options.retrySource ?? options.originalDestination)
    this.tls = options.tls(this.#parameters())
  }

  setInitialKeys(id: Uint8Array): void {
    const keys = this.options.security.initialKeys(id, this.options.role)
    this.initial.read?.[Symbol.dispose]()
    this.initial.write?.[Symbol.dispose]()
    this.initial.read = keys.read
    this.initial.write = keys.write
  }

  spaceOf(level: Level): PacketSpace {
    if (level === 'initial') return this.initial
    return level === 'handshake' ? this.handshake : this.application
  }

  /** Whether the proof of the peer's address, or what came from there, allows a datagram. */
  get maySend(): boolean {
    // Datagrams of a handshake are whole; later a few bytes may be all that an address is allowed.
    return this.paths.current.allowance >= (this.confirmed ? LATE_BYTES_MIN : DATAGRAM_BYTES_MIN)
  }

  /** The peer broke a rule, or we cannot go on. */
  fail(fault: Violation): void {
    this.end({ by: 'lost', application: false, code: fault.code, reason: fault.reason, told: true })
  }

  end(ending: Ending): void {
    this.ending ??= ending
  }

  drop(space: PacketSpace): void {
    if (space.dropped) return
    this.recovery.forget(space)
    space.drop()
    if (space === this.initial) {
      this.initial = spaceThatIsOver('initial')
      this.#dropToken()
    } else if (space === this.handshake) this.handshake = spaceThatIsOver('handshake')
  }

  /** Keeps the token of a Retry. @returns false when it cannot be charged. */
  keepToken(token: Uint8Array): boolean {
    this.#dropToken()
    if (token.length === 0) return true
    if (this.options.shared.retryTokens.take(token.length, 1) !== 'ok') return false
    this.token = copyBytes(token)
    return true
  }

  /**
   * Charges what TLS holds of a message that comes in pieces. After the fact, because TLS learns of the length while it
   * reads, and holds a few kilobytes at most.
   *
   * @returns false when it cannot be charged.
   */
  chargeMessage(): boolean {
    const free = this.up ? TICKET_BYTES_FIRST : MESSAGE_BYTES_FIRST
    const more = Math.max(this.tls.heldBytes - free, 0) - this.#messageBytes
    if (more === 0) return true
    const { crypto } = this.options.accounts
    if (more > 0 && crypto.take(more) !== 'ok') return false
    if (more < 0) crypto.give(-more)
    this.#messageBytes += more
    return true
  }

  /** The connection is over, and nothing of it is held. */
  free(): void {
    for (const space of [this.initial, this.handshake, this.application]) this.drop(space)
    this.keys?.[Symbol.dispose]()
    this.datagrams?.end()
    this.localIds.end()
    this.remoteIds.end()
    this.tls[Symbol.dispose]()
    if (this.#messageBytes > 0) this.options.accounts.crypto.give(this.#messageBytes)
    this.#messageBytes = 0
  }

  #dropToken(): void {
    if (this.token.length > 0) this.options.shared.retryTokens.give(this.token.length, 1)
    this.token = NOTHING
  }

  confirm(): void {
    if (this.confirmed) return
    this.confirmed = true
    this.recovery.peerValidated = true
    this.drop(this.initial)
    this.drop(this.handshake)
    this.recovery.mtu.start(this.#mtuMax(), this.now)
  }

  // What streams tell, which is passed on.

  shown(stream: Stream): void {
    this.effects!.shown(stream)
  }

  readable(stream: Stream): void {
    this.effects!.readable(stream)
  }

  writable(stream: Stream): void {
    this.effects!.writable(stream)
  }

  stopped(stream: Stream, code: number): void {
    this.effects!.stopped(stream, code)
  }

  granted(bidi: boolean): void {
    this.effects!.granted(bidi)
  }

  gone(stream: Stream): void {
    this.effects!.gone(stream)
  }

  // What TLS asks for.

  send(level: Level, bytes: Uint8Array): void {
    this.spaceOf(level).cryptoOut.write(bytes, 0, bytes.length)
  }

  secrets(level: 'handshake' | 'application', secrets: LevelSecrets): void {
    const { security, limits } = this.options
    const { read, write } = security.levelKeys(secrets)
    const space = this.spaceOf(level)
    if (level === 'handshake') {
      space.read = read
      space.write = write
      return
    }
    const most = Math.floor(security.limits(secrets.suite).sealedMax / 2)
    const wanted = limits.keyUpdatePackets > 0 ? Math.min(limits.keyUpdatePackets, most) : most
    this.keys = new ApplicationKeys(read, write, wanted, security.limits(secrets.suite).sealedMax)
  }

  peerParameters(bytes: Uint8Array): void {
    const peer = decodeParameters(bytes, !this.client)
    if ('reason' in peer) return this.fail(peer)
    if (!this.#idsMatch(peer)) {
      return this.fail({ code: ErrorCode.transportParameter, reason: 'the connection ids differ' })
    }
    this.peer = peer
    this.recovery.maxAckDelayUs = peer.maxAckDelayMs * 1000
    if (peer.maxIdleTimeoutMs > 0) this.idleUs = Math.min(this.idleUs, peer.maxIdleTimeoutMs * 1000)
    this.streams.peerParameters(peer)
    if (peer.statelessResetToken) this.remoteIds.setToken(peer.statelessResetToken)
    if (peer.preferredAddress) this.remoteIds.refusePreferred()
    if (this.datagrams) this.datagrams.peerFrameMax = peer.maxDatagramFrame
  }

  established(peer: { readonly node: NodeId; readonly protocol: Uint8Array }): void {
    if (!this.peer) return this.fail({ code: 0x16d, reason: 'no transport parameters' })
    this.up = true
    if (!this.client) {
      this.handshakeDoneDue = true
      this.confirm()
    }
    this.localIds.fill(this.peer.activeConnectionIdLimit)
    this.effects!.established(peer)
  }

  alert(alert: number, message: string): void {
    // Peers look for these words to tell a missing protocol from other failures.
    const reason = alert === ALERT_NO_PROTOCOL ? 'no known protocol in common' : message
    this.fail({ code: ErrorCode.crypto + alert, reason })
  }

  violation(message: string): void {
    this.fail({ code: ErrorCode.protocolViolation, reason: message })
  }

  #idsMatch(peer: TransportParameters): boolean {
    const same = (a: Uint8Array | undefined, b: Uint8Array | undefined) =>
      a === undefined || b === undefined ? a === b : equalBytes(a, b)
    if (!same(peer.initialSource, this.remoteIds.current.bytes)) return false
    if (!this.client) return true
    const { originalDestination } = this.options
    return (
      same(peer.originalDestination, originalDestination) &&
      same(peer.retrySource, this.retrySource)
    )
  }

  #mtuMax(): number {
    const { mtuMax, buffer } = this.options
    return Math.min(mtuMax ?? DATAGRAM_BYTES_MIN, buffer.length, this.peer!.maxUdpPayload)
  }

  #parameters(): Uint8Array {
    const { localId, limits, originalDestination, retrySource } = this.options
    const own = defaultParameters()
    this.streams.fillParameters(own)
    own.maxIdleTimeoutMs = limits.idleTimeoutMs
    own.maxUdpPayload = Math.max(this.options.mtuMax ?? 0, RECEIVED_BYTES_MAX)
    if (this.datagrams) own.maxDatagramFrame = DATAGRAM_FRAME_BYTES_MAX
    own.activeConnectionIdLimit = this.remoteIds.limit
    own.initialSource = localId.bytes
    if (!this.client) {
      own.originalDestination = originalDestination
      own.retrySource = retrySource
      own.statelessResetToken = localId.token
    }
    return encodeParameters(own)
  }
}
