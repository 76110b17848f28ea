/** One end of a simulated connection: what it sends, and a check of every byte that it receives. */
import assert from 'node:assert/strict'
import type { Instant, Random } from '../runtime/index.ts'
import type { ConnectionEffects, ConnectionEnd } from './connection/connection-options.ts'
import type { Remote } from './connection/path.ts'
import type { ConnectionMachine } from './connection-machine.ts'
import type { Stream } from './streams/streams.ts'

export interface SideOptions {
  readonly name: 'a' | 'b'
  readonly random: Random
  readonly address: Remote
  /** Streams to open, and their bytes at most. */
  readonly streams: number
  readonly streamBytesMax: number
  /** Unreliable messages to send. */
  readonly messages: number
  /** Of a thousand streams, how many are given up half way, by their writers and by their readers. */
  readonly givenUp: number
  transmit(side: Side, bytes: Uint8Array, remote: Remote): void
}

interface Sending {
  readonly stream: Stream
  left: number
  at: number
  done: boolean
  /** Gives up when so much was written; -1 for never. */
  readonly resetAt: number
}

interface Receiving {
  readonly stream: Stream
  at: number
  done: boolean
  readonly stopAt: number
}

const GIVEN_UP = 77

export class Side implements ConnectionEffects {
  readonly #options: SideOptions
  machine!: ConnectionMachine
  address: Remote
  up = false
  end: ConnectionEnd | undefined
  readonly sending = new Map<number, Sending>()
  readonly received = new Map<number, Receiving>()
  /** Numbers of the messages that have come. */
  readonly messages = new Set<number>()
  toOpen: number
  #toSend: number
  #changed = true
  /** The program of this side stands still until then; what arrives waits in its socket. */
  stalledUntil = 0
  readonly inbox: { readonly bytes: Uint8Array; readonly remote: Remote }[] = []

  constructor(options: SideOptions) {
    this.#options = options
    this.address = options.address
    this.toOpen = options.streams
    this.#toSend = options.messages
  }

  get name(): 'a' | 'b' {
    return this.#options.name
  }

  get wakeAt(): number {
    return Math.max(this.machine.wakeAt, this.stalledUntil)
  }

  send(bytes: Uint8Array, length: number, remote: Remote): void {
    this.#options.transmit(this, bytes.slice(0, length), remote)
  }

  established(): void {
    this.up = this.#changed = true
  }

  ended(end: ConnectionEnd): void {
    this.end = end
  }

  shown(stream: Stream): void {
    this.#receive(stream)
    this.#changed = true
  }

  readable(): void {
    this.#changed = true
  }

  writable(): void {
    this.#changed = true
  }

  stopped(): void {
    this.#changed = true
  }

  granted(): void {
    this.#changed = true
  }

  gone(): void {}

  datagram(): void {
    this.#changed = true
  }

  /** Opens, writes and reads what it can. */
  work(now: Instant): void {
    if (this.end || !this.up) return
    if (this.#toSend > 0) this.#sendMessage()
    if (!this.#changed) return
    this.#changed = false
    const { machine } = this
    while (this.toOpen > 0) {
      const bidi = this.toOpen % 2 === 0
      const stream = machine.open(bidi)
      if (!stream) break
      this.toOpen--
      this.#send(stream, this.#options.streamBytesMax)
      if (bidi) this.#receive(stream)
    }
    for (const { stream } of this.received.values()) {
      if (stream.own || stream.accepted) continue
      machine.accept(stream, now, this)
      if (stream.bidi) this.#send(stream, this.#options.streamBytesMax / 4)
    }
    for (const each of this.sending.values()) if (!each.done) this.#write(each)
    for (const each of this.received.values()) if (!each.done) this.#read(each, now)
    this.#readMessages()
  }

  /** All that it was to send was taken, and all that was sent to it has come. */
  get done(): boolean {
    if (this.toOpen > 0 || !this.up) return false
    for (const each of this.sending.values()) if (!each.done) return false
    for (const each of this.received.values()) if (!each.done) return false
    return this.sending.size + this.received.size > 0
  }

  #send(stream: Stream, bytesMax: number): void {
    const { random, givenUp } = this.#options
    const left = random.below(Math.ceil(bytesMax))
    const resetAt = random.below(1000) < givenUp ? random.below(left + 1) : -1
    this.sending.set(stream.id, { stream, left, at: 0, done: false, resetAt })
  }

  #receive(stream: Stream): void {
    const { random, givenUp, streamBytesMax } = this.#options
    const stopAt = random.below(1000) < givenUp ? random.below(streamBytesMax / 2) : -1
    this.received.set(stream.id, { stream, at: 0, done: false, stopAt })
  }

  #write(each: Sending): void {
    const { random } = this.#options
    const { stream } = each
    if (stream.send!.stopCode >= 0) {
      each.done = true
      return
    }
    while (each.left > 0) {
      const bytes = new Uint8Array(Math.min(each.left, 1 + random.below(4_000)))
      fill(bytes, this.name, stream.id, each.at)
      const taken = this.machine.write(stream, bytes, 0)
      each.at += taken
      each.left -= taken
      if (each.resetAt >= 0 && each.at >= each.resetAt) {
        each.done = true
        return this.machine.reset(stream, GIVEN_UP)
      }
      if (taken < bytes.length) return
    }
    each.done = true
    this.machine.finish(stream)
  }

  #read(each: Receiving, now: Instant): void {
    const { stream } = each
    const other = this.name === 'a' ? 'b' : 'a'
    for (;;) {
      if (each.stopAt >= 0 && each.at >= each.stopAt && !stream.receive!.finished) {
        each.done = true
        return this.machine.stop(stream, GIVEN_UP, now, this)
      }
      const bytes = this.machine.read(stream, 1 + this.#options.random.below(9_000), now, this)
      if (!bytes) break
      check(bytes, other, stream.id, each.at)
      each.at += bytes.length
    }
    if (stream.receive!.finished || stream.receive!.resetCode >= 0) each.done = true
  }

  #sendMessage(): void {
    const { random } = this.#options
    const { datagramBytesMax } = this.machine
    if (datagramBytesMax < 8 || random.below(4) > 0) return
    const bytes = new Uint8Array(8 + random.below(datagramBytesMax - 7))
    new DataView(bytes.buffer).setUint32(0, this.#toSend)
    fill(bytes.subarray(4), this.name, -1, this.#toSend)
    assert.ok(this.machine.sendDatagram(bytes))
    this.#toSend--
  }

  #readMessages(): void {
    const other = this.name === 'a' ? 'b' : 'a'
    for (;;) {
      const bytes = this.machine.readDatagram()
      if (!bytes) return
      const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
      assert.ok(!this.messages.has(number), `message ${number} has come twice`)
      this.messages.add(number)
      check(bytes.subarray(4), other, -1, number)
    }
  }
}

/** Byte `at` of a stream. */
const pattern = (name: string, id: number, at: number): number =>
  (at * 31 + (at >>> 8) * 7 + id * 13 + name.charCodeAt(0)) & 255

function fill(bytes: Uint8Array, name: string, id: number, from: number): void {
  for (let at = 0; at < bytes.length; at++) bytes[at] = pattern(name, id, from + at)
}

function check(bytes: Uint8Array, name: string, id: number, from: number): void {
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] !== pattern(name, id, from + at)) {
      assert.fail(`${name} ${id}: byte ${from + at} is wrong`)
    }
  }
}
