/**
 * The connections of an endpoint and the handshakes that run: makes them when there is a place, tells who waits for
 * them, and gives all of it back when they end.
 *
 * Strangers share `handshakesMax` places until they are known; our own dials get what there is.
 *
 * Memory: `transport.connections`, `quic.handshakes`, `quic.keys`, `quic.ids` and `quic.retry-tokens`; each connection has
 * accounts of its own.
 */
import { type Account, BoundedMap, type Ledger, limitError, type Term } from '../../bounds/index.ts'
import {
  abortError,
  instant,
  type Random,
  type Scope,
  throwIfAborted,
  WeirError,
} from '../../runtime/index.ts'
import { connectFailed, formatAddress, protocolRefused } from '../../transport/index.ts'
import type { IssuedId } from '../connection/connection-ids.ts'
import type {
  ConnectionEnd,
  ConnectionLimits,
  SharedAccounts,
} from '../connection/connection-options.ts'
import type { Remote } from '../connection/path.ts'
import { ConnectionMachine } from '../connection-machine.ts'
import type { TlsMachine } from '../contract.ts'
import type { Candidate, EndpointMachine } from '../endpoint/endpoint-machine.ts'
import type { QuicLimits, QuicTerms } from '../memory.ts'
import { ErrorCode } from '../packet/errors.ts'
import type { QuicSecurity } from '../security.ts'
import { InterfaceMtu } from './interface-mtu.ts'
import { type ConnectionOwner, QuicConnection, type ShellAccounts } from './quic-connection.ts'
import type { Remotes } from './remotes.ts'
import { Turns } from './turns.ts'

const ALERT_NO_PROTOCOL = ErrorCode.crypto + 120

export interface ConnectionsOptions {
  readonly scope: Scope
  readonly ledger: Ledger
  readonly terms: QuicTerms
  readonly limits: QuicLimits
  readonly security: QuicSecurity
  readonly random: Random
  readonly machine: EndpointMachine
  /** The buffer that every datagram is built in. */
  readonly buffer: Uint8Array
  send(length: number, remote: Remote): void
}

/** A connection, or a handshake that runs. */
export interface Slot {
  readonly connection: QuicConnection
  /** The first id of a client, under which its late Initials are found as long as the connection lives. */
  readonly initialKey: string | undefined
  /** The handshake while it runs; what it settles with. */
  handshake: Handshake | undefined
}

export interface Handshake {
  readonly result: PromiseWithResolvers<QuicConnection>
  /** How it ended, when it failed. */
  end: ConnectionEnd | undefined
  /** Gives it up. */
  abandon(code: number, reason: string): void
}

export interface NewConnection {
  readonly remotes: Remotes
  /** Whom we answer; undefined when we dial. */
  readonly candidate: Candidate | undefined
  readonly label: string
  readonly tls: (parameters: Uint8Array) => TlsMachine
}

export class Connections implements ConnectionOwner, Disposable {
  readonly clock: Scope['clock']
  readonly #options: ConnectionsOptions
  readonly #slots: BoundedMap<QuicConnection, Slot>
  readonly #handshakes: Account
  readonly #keys: Account
  readonly #shared: SharedAccounts
  /** One object for all connections. */
  readonly #limits: ConnectionLimits
  readonly #turns = new Turns()
  readonly #mtu: InterfaceMtu
  #strangers = 0

  constructor(options: ConnectionsOptions) {
    const { scope, ledger, terms } = options
    this.clock = scope.clock
    this.#mtu = new InterfaceMtu(scope.clock)
    this.#options = options
    const congestionWindowBytesMax = options.limits.connectionSendBytesMax
    this.#limits = Object.freeze({ ...options.limits, congestionWindowBytesMax })
    this.#handshakes = scope.own('handshakes', ledger.require(terms.handshakes))
    this.#keys = scope.own('keys', ledger.require(terms.keys))
    this.#shared = {
      ids: scope.own('ids', ledger.require(terms.ids)),
      retryTokens: scope.own('retry tokens', ledger.require(terms.retryTokens)),
    }
    this.#slots = new BoundedMap(ledger.require(terms.connections))
    scope.own('slots', this.#slots)
  }

  get size(): number {
    return this.#slots.size
  }

  /** Handshakes of peers that dialled us and are not known yet. */
  get strangers(): number {
    return this.#strangers
  }

  /** @throws {WeirError} `LIMIT` when a place, or the first credit, is not to be had. */
  open(wanted: NewConnection): {
    readonly connection: QuicConnection
    readonly handshake: Handshake
  } {
    throwIfAborted(this.#options.scope.signal)
    const { remotes, candidate } = wanted
    const outbound = candidate === undefined
    this.#admit(outbound)
    const accounts = this.#accounts(wanted.label)
    const connection = new QuicConnection({
      owner: this,
      outbound,
      remotes,
      windowBytesMax: this.#options.limits.windowBytesMax,
      accounts,
    })
    try {
      connection.machine = this.#machine(connection, wanted, accounts)
    } catch (error) {
      for (const account of Object.values(accounts)) account[Symbol.dispose]()
      this.#handshakes.give(0, 1)
      this.#keys.give(0, 1)
      throw error
    }
    const result = Promise.withResolvers<QuicConnection>()
    // Who waits for it may have given up before it fails.
    result.promise.catch(() => {})
    const handshake: Handshake = {
      result,
      end: undefined,
      abandon: (code, reason) => connection.abandon(code, reason),
    }
    if (!outbound) this.#strangers++
    this.#slots.set(connection, { connection, initialKey: candidate?.key, handshake })
    return { connection, handshake }
  }

  /** The system cannot send to this address. */
  unreachable(remote: Remote, code: string): void {
    for (const [connection, { handshake }] of this.#slots) {
      if (!handshake || connection.machine.heard || !connection.unreachable(remote)) continue
      const where = formatAddress({ host: remote.host, port: remote.port })
      handshake.result.reject(connectFailed(`there is no way to ${where} (${code})`))
      connection.abandon(ErrorCode.none, 'there is no way to the peer')
    }
  }

  /** Ends all of them and tells their peers. */
  [Symbol.dispose](): void {
    const { signal } = this.#options.scope
    for (const [connection, { handshake }] of this.#slots) {
      handshake?.result.reject(abortError(signal))
      if (handshake) connection.abandon(ErrorCode.none, 'the endpoint was closed')
      else connection.close(0, 'the endpoint was closed')
    }
    this.#turns[Symbol.dispose]()
  }

  // What a connection asks of its endpoint.

  /** @internal */
  send(_bytes: Uint8Array, length: number, remote: Remote): void {
    this.#turns.sent()
    this.#options.send(length, remote)
  }

  /** @internal */
  issue(connection: QuicConnection): IssuedId | undefined {
    return this.#options.machine.issue(connection)
  }

  /** @internal */
  retire(id: Uint8Array): void {
    this.#options.machine.retire(id)
  }

  /** @internal */
  expectReset(token: string, connection: QuicConnection): void {
    this.#options.machine.expectReset(token, connection)
  }

  /** @internal */
  forgetReset(token: string, connection: QuicConnection): void {
    this.#options.machine.forgetReset(token, connection)
  }

  /** @internal */
  acceptsAccount(label: string): Account {
    return this.#options.ledger.require(this.#options.terms.accepts, { label })
  }

  /** @internal */
  schedule(connection: QuicConnection): void {
    this.#turns.schedule(connection)
  }

  /** @internal */
  up(connection: QuicConnection): void {
    const slot = this.#slots.peek(connection)!
    const { handshake } = slot
    this.#handshakeDone(slot)
    handshake?.result.resolve(connection)
  }

  /** @internal */
  ended(connection: QuicConnection, end: ConnectionEnd): void {
    const slot = this.#slots.peek(connection)
    if (!slot) return
    const { handshake, initialKey } = slot
    const { machine, scope } = this.#options
    this.#handshakeDone(slot)
    this.#slots.delete(connection)
    this.#keys.give(0, 1)
    if (initialKey !== undefined) machine.forgetInitials(initialKey)
    machine.farewell(end.ids, initialKey, end.farewell, scope.clock.now() + end.lingerUs)
    if (!handshake) return
    handshake.end = end
    handshake.result.reject(handshakeError(end, connection.remote))
  }

  #handshakeDone(slot: Slot): void {
    if (!slot.handshake) return
    slot.handshake = undefined
    if (!slot.connection.outbound) this.#strangers--
    this.#handshakes.give(0, 1)
  }

  #admit(outbound: boolean): void {
    const slots = this.#slots.account
    if (slots.entries >= slots.term.entriesMax) throw limitError(slots, 'cap', 1)
    if (!outbound && this.#strangers >= this.#options.limits.handshakesMax) {
      this.#handshakes.refuse()
      throw limitError(this.#handshakes, 'cap', 1)
    }
    const keys = this.#keys.take(0, 1)
    if (keys !== 'ok') throw limitError(this.#keys, keys, 1)
    const admission = this.#handshakes.take(0, 1)
    if (admission === 'ok') return
    this.#keys.give(0, 1)
    throw limitError(this.#handshakes, admission, 1)
  }

  #machine(
    connection: QuicConnection,
    { remotes, candidate, tls }: NewConnection,
    accounts: ShellAccounts,
  ): ConnectionMachine {
    const { security, random, machine, buffer, scope } = this.#options
    const { messagesIn, messagesOut } = accounts
    const localId = connection.issue()
    if (!localId) {
      throw new WeirError('LIMIT', 'there is no place for a connection id', { retryable: true })
    }
    try {
      return new ConnectionMachine(
        {
          role: candidate ? 'server' : 'client',
          security,
          tls,
          random,
          remote: remotes.first,
          validated: candidate?.validated ?? false,
          router: connection,
          localId,
          originalDestination: candidate?.originalDestination ?? random.bytes(16),
          ...(candidate ? { peerId: candidate.peerId } : {}),
          ...(candidate?.validated ? { retrySource: candidate.destination } : {}),
          limits: this.#limits,
          accounts:
            messagesIn && messagesOut
              ? { ...accounts, datagrams: { in: messagesIn, out: messagesOut } }
              : accounts,
          shared: this.#shared,
          buffer,
          mtuMax: Math.min(buffer.length, this.#mtu.bytesTo(remotes.first.host)),
        },
        instant(scope.clock.now()),
        machine.head,
      )
    } catch (error) {
      connection.retire(localId.bytes)
      throw error
    }
  }

  #accounts(label: string): ShellAccounts {
    const { terms, ledger, limits } = this.#options
    const termOf: Partial<Record<keyof ShellAccounts, Term>> = {
      streams: terms.streams,
      opens: terms.opens,
      receive: terms.receive,
      send: terms.send,
      records: terms.records,
      gaps: terms.gaps,
      ackRanges: terms.ackRanges,
      crypto: terms.crypto,
      ...(limits.messagesMax > 0
        ? { messagesIn: terms.messages, messagesOut: terms.messages }
        : {}),
    }
    const opened: Partial<Record<keyof ShellAccounts, Account>> = {}
    try {
      for (const name of Object.keys(termOf) as (keyof ShellAccounts)[]) {
        opened[name] = ledger.require(termOf[name]!, { label })
      }
      return opened as ShellAccounts
    } catch (error) {
      for (const account of Object.values(opened)) account[Symbol.dispose]()
      this.#handshakes.give(0, 1)
      this.#keys.give(0, 1)
      throw error
    }
  }
}

function handshakeError(end: ConnectionEnd, where: string): WeirError {
  if (end.transportCode === ALERT_NO_PROTOCOL) return protocolRefused()
  if (end.transportCode === ErrorCode.refused) {
    return connectFailed(`${where} refused the connection`)
  }
  return connectFailed(`${where}: ${end.info.reason || `error ${end.transportCode}`}`)
}

/** Whether another address of the node may do better: somebody answered here who is not the node that was dialled. */
export const mayBeElsewhere = (end: ConnectionEnd): boolean =>
  end.transportCode !== ErrorCode.refused && end.transportCode !== ALERT_NO_PROTOCOL
