/**
 * A whole handshake and some streams between a connection and a peer that means ill and holds the keys: what the peer
 * says is changed by a script before it is sealed, so that the bytes reach the readers behind the protection.
 *
 * Real TLS in both roles, with keys from a seed; a checksum in place of the AEAD. The same script does the same.
 */
import assert from 'node:assert/strict'
import { type Account, Ledger, planMemory, type Term } from '../bounds/index.ts'
import { concatBytes } from '../codec/index.ts'
import { KeyPair, type NodeId } from '../core/index.ts'
import { instant, type Random, seededRandom } from '../runtime/index.ts'
import { transportLimits } from '../transport/index.ts'
import { machineAccounts } from './accounts.fixture.ts'
import type { IssuedId } from './connection/connection-ids.ts'
import type {
  ConnectionEffects,
  ConnectionEnd,
  ConnectionOptions,
} from './connection/connection-options.ts'
import type { Remote } from './connection/path.ts'
import { ConnectionMachine } from './connection-machine.ts'
import { writeRetry } from './endpoint/stateless.ts'
import { edited, readScript, type Script, Site } from './fuzz-script.fixture.ts'
import { type QuicLimits, quicLimits, quicTerms } from './memory.ts'
import type { Stream } from './streams/streams.ts'
import { Forger, ForgingClient, ForgingServer } from './tls/forging-tls.fixture.ts'
import { TlsClient, TlsServer } from './tls/index.ts'
import { toySecurity } from './toy-tls.fixture.ts'

const PROTOCOL = new Uint8Array(32).fill(7)
const KEYS = [1, 2].map((fill) => KeyPair.fromSeed(new Uint8Array(32).fill(fill)))
const CLIENT: Remote = { host: '10.0.0.1', port: 1 }
const SERVER: Remote = { host: '10.0.0.2', port: 2 }
const TURNS_MAX = 400
/** Datagrams of a side that hears nothing: what it has to send, and probes. */
const SPOKEN_MAX = 80
const WAKES_MAX = 12
const SENT_BYTES = 2_500
const RETRY_SOURCE = new Uint8Array(8).fill(0x52)

/** Bits of the flags of a script. */
const Flag = Object.freeze({
  helloRetry: 1,
  messages: 2,
  retry: 4,
  keyUpdates: 8,
  validated: 16,
  silent: 32,
  patient: 64,
})

/** One end; it reads all that comes, answers on streams of both directions, and sends some bytes of its own. */
class Actor implements ConnectionEffects {
  readonly out: { readonly bytes: Uint8Array; readonly remote: Remote }[] = []
  readonly issued: IssuedId[] = []
  readonly routes = new Set<string>()
  readonly resets = new Set<string>()
  readonly streams = new Set<Stream>()
  machine!: ConnectionMachine
  end: ConnectionEnd | undefined
  peer: NodeId | undefined
  sentBytes = 0
  sentDatagrams = 0
  readonly #random: Random
  #spoke = false

  constructor(random: Random) {
    this.#random = random
  }

  issue(): IssuedId {
    const id = { bytes: this.#random.bytes(8), token: this.#random.bytes(16) }
    this.issued.push(id)
    this.routes.add(String(id.bytes))
    return id
  }

  retire(bytes: Uint8Array): void {
    assert.ok(this.routes.delete(String(bytes)), 'an id was given back twice')
  }

  expectReset(token: string): void {
    this.resets.add(token)
  }

  forgetReset(token: string): void {
    this.resets.delete(token)
  }

  send(bytes: Uint8Array, length: number, remote: Remote): void {
    this.sentBytes += length
    this.sentDatagrams++
    this.out.push({ bytes: bytes.slice(0, length), remote })
  }

  established(peer: { readonly node: NodeId }): void {
    assert.equal(this.peer, undefined, 'established twice')
    this.peer = peer.node
  }

  ended(end: ConnectionEnd): void {
    assert.equal(this.end, undefined, 'ended twice')
    this.end = end
  }

  shown(stream: Stream): void {
    this.streams.add(stream)
  }

  gone(stream: Stream): void {
    this.streams.delete(stream)
  }

  readable(): void {}
  writable(): void {}
  stopped(): void {}
  granted(): void {}
  datagram(): void {}

  work(now: number, speaks: boolean): void {
    const { machine } = this
    if (this.end || !machine.up) return
    if (!this.#spoke && speaks) {
      this.#spoke = true
      for (const bidi of [true, false]) {
        const stream = machine.open(bidi)
        if (!stream) continue
        this.streams.add(stream)
        machine.write(stream, new Uint8Array(SENT_BYTES), 0)
        machine.finish(stream)
      }
      machine.sendDatagram(new Uint8Array(40))
    }
    for (const stream of [...this.streams]) this.#serve(stream, now)
    while (machine.readDatagram());
  }

  #serve(stream: Stream, now: number): void {
    const { machine } = this
    if (!stream.own && !stream.accepted) {
      machine.accept(stream, instant(now), this)
      if (stream.bidi) {
        machine.write(stream, new Uint8Array(SENT_BYTES), 0)
        machine.finish(stream)
      }
    }
    if (!stream.receive) return
    while (!this.end && machine.read(stream, 4_096, instant(now), this));
  }
}

export class SealedPair implements Disposable {
  readonly #victimIsClient: boolean
  readonly #ledger: Ledger
  readonly #limits: QuicLimits
  readonly #terms: ReturnType<typeof quicTerms>
  readonly #accounts: Account[] = []

  constructor(victim: 'client' | 'server') {
    this.#victimIsClient = victim === 'client'
    this.#limits = quicLimits(transportLimits({ endpointsMax: 2 }), { messagesMax: 4 })
    this.#terms = quicTerms(this.#limits)
    const options = { limitBytes: Number.MAX_SAFE_INTEGER }
    this.#ledger = new Ledger(planMemory(Object.values(this.#terms), options), {
      assertLeaks: true,
    })
  }

  run(bytes: Uint8Array): void {
    const script = readScript(bytes)
    const run = new Run(script, this.#victimIsClient, (flags, own) => this.#options(flags, own))
    try {
      run.play()
    } finally {
      run.close()
      for (const account of this.#accounts.splice(0)) account[Symbol.dispose]()
      this.#ledger.assertEmpty()
    }
  }

  [Symbol.dispose](): void {
    this.#ledger.assertEmpty()
  }

  #options(flags: number, own: OwnOptions): ConnectionOptions {
    const open = (term: Term): Account => {
      const account = this.#ledger.require(term)
      this.#accounts.push(account)
      return account
    }
    const { messages } = this.#terms
    const held = machineAccounts(this.#terms, open)
    const keyUpdatePackets = (flags & Flag.keyUpdates) !== 0 ? 3 : 0
    return {
      ...own,
      shared: held.shared,
      buffer: new Uint8Array(4_096),
      limits: {
        ...this.#limits,
        keyUpdatePackets,
        congestionWindowBytesMax: this.#limits.connectionSendBytesMax,
      },
      accounts: {
        ...held.accounts,
        ...((flags & Flag.messages) !== 0
          ? { datagrams: { in: open(messages), out: open(messages) } }
          : {}),
      },
    }
  }
}

type OwnOptions = Omit<ConnectionOptions, 'buffer' | 'limits' | 'accounts' | 'shared'>

/** One script, played from the first datagram to the end. */
class Run {
  readonly #script: Script
  readonly #victim: Actor
  readonly #peer: Actor
  readonly #forger: Forger
  readonly #victimIsClient: boolean
  readonly #original: Uint8Array
  #now = 1_000_000
  #datagrams = 0
  #receivedBytes = 0

  constructor(
    script: Script,
    victimIsClient: boolean,
    make: (flags: number, own: OwnOptions) => ConnectionOptions,
  ) {
    this.#script = script
    this.#victimIsClient = victimIsClient
    this.#forger = new Forger(script)
    const random = seededRandom(3)
    this.#original = random.bytes(16)
    this.#victim = new Actor(random)
    this.#peer = new Actor(random)
    const [client, server] = victimIsClient
      ? [this.#victim, this.#peer]
      : [this.#peer, this.#victim]
    const { flags } = script
    const retried = (flags & Flag.retry) !== 0
    const shared = { random, originalDestination: this.#original }
    const start = instant(this.#now)
    const clientId = client.issue()
    const from = make(flags & ~Flag.keyUpdates, {
      ...shared,
      ...{ role: 'client', remote: SERVER, validated: false, router: client, localId: clientId },
      security: this.#security(client),
      tls: (parameters) => this.#client(client, parameters, random),
    })
    client.machine = new ConnectionMachine(from, start)
    const to = make(flags, {
      ...shared,
      ...{ role: 'server', remote: CLIENT, router: server, localId: server.issue() },
      validated: retried || (flags & Flag.validated) !== 0,
      peerId: clientId.bytes,
      ...(retried ? { retrySource: RETRY_SOURCE } : {}),
      security: this.#security(server),
      tls: (parameters) => this.#server(server, parameters, random),
    })
    server.machine = new ConnectionMachine(to, start)
    client.machine.start(start, client)
    if (retried) client.machine.receive(this.#retry(new Uint8Array(30)), SERVER, start, client)
  }

  /** Until nothing more happens, or for as long as anything should take. */
  play(): void {
    const victim = this.#victim
    const peer = this.#peer
    let wakes = (this.#script.flags & Flag.patient) !== 0 ? 4 * WAKES_MAX : WAKES_MAX
    for (let turn = 0; !victim.end; turn++) {
      // A peer that takes back each id that it gives is answered for as long as it goes on.
      if (turn === TURNS_MAX) return
      for (const { bytes } of peer.out.splice(0)) this.#deliver(bytes)
      for (const { bytes } of victim.out.splice(0)) this.#answer(bytes)
      this.#check()
      victim.work(this.#now, true)
      peer.work(this.#now, (this.#script.flags & Flag.silent) === 0)
      this.#flush()
      if (peer.out.length + victim.out.length > 0) {
        this.#now += 500
        continue
      }
      if (wakes-- === 0) return
      const next = Math.min(victim.machine.wakeAt, peer.machine.wakeAt)
      if (next === Number.POSITIVE_INFINITY) return
      this.#now = Math.max(this.#now, next)
      for (const each of [victim, peer]) {
        if (each.machine.wakeAt <= this.#now) each.machine.wake(instant(this.#now), each)
      }
    }
  }

  close(): void {
    const now = instant(this.#now)
    if (!this.#victim.machine.ended) this.#victim.machine.close(7, 'done', now, this.#victim)
    this.#peer.machine[Symbol.dispose]()
    for (const { routes, resets } of [this.#victim, this.#peer]) {
      assert.equal(routes.size, 0, 'connection ids are left')
      assert.equal(resets.size, 0, 'reset tokens are left')
    }
  }

  #flush(): void {
    for (const each of [this.#victim, this.#peer]) {
      if (!each.machine.ended) each.machine.flush(instant(this.#now), each)
    }
  }

  /** What must hold whatever the peer says. */
  #check(): void {
    const { peer, sentBytes, machine } = this.#victim
    const dialled = KEYS[this.#victimIsClient ? 1 : 0]!.id
    // The key of the peer is all that it has: it cannot pass for another.
    if (peer) assert.deepEqual(peer, dialled)
    const datagramsMax = 3 * this.#datagrams + SPOKEN_MAX
    assert.ok(this.#victim.sentDatagrams <= datagramsMax, 'it speaks when nobody asks')
    const unproved = !this.#victimIsClient && !machine.up && !this.#forger.sealed.handshake
    if (unproved && (this.#script.flags & (Flag.validated | Flag.retry)) === 0) {
      assert.ok(sentBytes <= 3 * this.#receivedBytes, 'more than three times what came')
    }
  }

  #answer(bytes: Uint8Array): void {
    const peer = this.#peer
    const from = this.#victimIsClient ? CLIENT : SERVER
    if (!peer.machine.ended) peer.machine.receive(bytes, from, instant(this.#now), peer)
  }

  #deliver(bytes: Uint8Array): void {
    const home = this.#victimIsClient ? SERVER : CLIENT
    const which = this.#datagrams++ % 8
    let remote: Remote = home
    let copies = 1
    for (const { site, index, operation, at, payload } of this.#script.edits) {
      if (site !== Site.datagram || index !== which) continue
      const first = payload[0] ?? 0
      switch (operation % 8) {
        case 0:
          copies = 0
          break
        case 1:
          copies = 2
          break
        case 2:
          remote = { host: first % 2 ? home.host : '10.0.0.3', port: 10 + (first % 4) }
          break
        case 3:
          bytes = edited(bytes, {
            ...{ site, index, operation: first, at },
            payload: payload.subarray(1),
          })
          break
        case 4:
          this.#give(this.#retry(new Uint8Array(at % 1_400).fill(first)), home)
          break
        case 5:
          this.#give(this.#negotiation(payload), home)
          break
        case 6:
          this.#give(payload, home)
          break
        default: {
          const { token } = this.#peer.issued[at % this.#peer.issued.length]!
          const noise = new Uint8Array(Math.max(payload.length, 5)).fill(0x41)
          this.#give(concatBytes(noise, token), home)
        }
      }
    }
    for (let copy = 0; copy < copies; copy++) this.#give(bytes, remote)
  }

  #give(bytes: Uint8Array, remote: Remote): void {
    const victim = this.#victim
    if (victim.end || bytes.length === 0) return
    this.#receivedBytes += bytes.length
    victim.machine.receive(bytes.slice(), remote, instant(this.#now), victim)
  }

  #retry(token: Uint8Array): Uint8Array {
    const made = new Uint8Array(2_000)
    const { bytes } = (this.#victimIsClient ? this.#victim : this.#peer).issued[0]!
    const { retryTag } = toySecurity()
    return made.slice(0, writeRetry(made, retryTag, this.#original, bytes, RETRY_SOURCE, token))
  }

  #negotiation(versions: Uint8Array): Uint8Array {
    const { bytes } = this.#victim.issued[0]!
    const head = Uint8Array.of(0x80, 0, 0, 0, 0, bytes.length)
    const source = concatBytes(Uint8Array.of(this.#original.length), this.#original)
    return concatBytes(head, bytes, source, versions)
  }

  #security(of: Actor): ConnectionOptions['security'] {
    const toy = toySecurity()
    return of === this.#peer ? this.#forger.security(toy) : toy
  }

  #client(of: Actor, parameters: Uint8Array, random: Random) {
    const options = {
      ...{ keyPair: KEYS[0]!, expected: KEYS[1]!.id, protocol: PROTOCOL, parameters, random },
      withoutShare: (this.#script.flags & Flag.helloRetry) !== 0,
    }
    return of === this.#peer ? new ForgingClient(options, this.#forger) : new TlsClient(options)
  }

  #server(of: Actor, parameters: Uint8Array, random: Random) {
    const options = { keyPair: KEYS[1]!, protocols: [PROTOCOL], parameters, random }
    return of === this.#peer ? new ForgingServer(options, this.#forger) : new TlsServer(options)
  }
}
