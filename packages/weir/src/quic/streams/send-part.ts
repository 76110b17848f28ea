/**
 * The sending half of a stream: takes bytes within the credit of the peer, repeats what was lost, ends with a fin or a
 * reset.
 *
 * What is taken can be sent at once as far as flow control goes, so bytes do not wait here for a peer that gives no
 * credit: they wait with the writer.
 *
 * Memory: its send buffer, charged to the accounts of the connection.
 */
import type { Account } from '../../bounds/index.ts'
import { Blocked } from './blocked.ts'
import type { SendCredit } from './credit.ts'
import { SendBuffer } from './send-buffer.ts'

export class SendPart {
  readonly buffer: SendBuffer
  readonly #credit: SendCredit
  readonly #bufferBytesMax: number
  /** What the peer allows on this stream. */
  limit: number
  #fin: 'none' | 'wanted' | 'sent' | 'acked' = 'none'
  #reset: 'none' | 'wanted' | 'sent' | 'acked' = 'none'
  resetCode = 0
  finalSize = 0
  /** The code with which the peer wants no more, -1 when it has not said so. */
  stopCode = -1
  /** The last write did not take all: the writer waits. */
  starved = false
  /** It waits for credit of this stream. */
  readonly blocked = new Blocked()

  constructor(
    accounts: { readonly send: Account; readonly gaps: Account },
    credit: SendCredit,
    limit: number,
    bufferBytesMax: number,
  ) {
    this.buffer = new SendBuffer(accounts.send, accounts.gaps)
    this.#credit = credit
    this.limit = limit
    this.#bufferBytesMax = bufferBytesMax
  }

  get open(): boolean {
    return this.#fin === 'none' && this.#reset === 'none'
  }

  /** All is acknowledged, or a reset is. */
  get done(): boolean {
    if (this.#reset === 'acked') return true
    return this.#fin === 'acked' && this.buffer.allAcked
  }

  get resetDue(): boolean {
    return this.#reset === 'wanted'
  }

  get dataDue(): boolean {
    return this.#reset === 'none' && (this.buffer.pending || this.#fin === 'wanted')
  }

  /** How many bytes a write would take now, as far as credit goes. */
  get room(): number {
    const { buffer } = this
    const own = this.#bufferBytesMax - buffer.held
    return Math.max(Math.min(this.limit - buffer.written, this.#credit.left, own), 0)
  }

  /** @returns how many bytes were taken; when not all, the stream will say that it is writable. */
  write(bytes: Uint8Array, from: number): number {
    let length = Math.min(bytes.length - from, this.room)
    while (length > 0 && !this.buffer.write(bytes, from, length)) {
      // No memory for all of it: what fits into a ring of the least size costs nothing more.
      length = length > 1024 ? Math.floor(length / 2) : 0
    }
    this.#credit.used += length
    this.starved = from + length < bytes.length
    if (this.starved && this.buffer.written >= this.limit) this.blocked.wait(this.limit)
    else this.blocked.go()
    return length
  }

  finish(): void {
    this.#fin = 'wanted'
    this.finalSize = this.buffer.written
  }

  reset(code: number): void {
    if (this.#reset !== 'none' || this.done) return
    this.#reset = 'wanted'
    this.blocked.go()
    this.resetCode = code
    this.finalSize = this.buffer.sent
    // What was taken and not sent does not count for the peer.
    this.#credit.used -= this.buffer.written - this.buffer.sent
    this.buffer.free()
  }

  /** Chooses the next part of at most `bytesMax` bytes; a lone fin has none. */
  next(bytesMax: number): boolean {
    return this.buffer.next(bytesMax) || this.#fin === 'wanted'
  }

  /** Whether the chosen part carries the end. */
  get chunkFin(): boolean {
    const { buffer } = this
    if (this.#fin !== 'wanted' && this.#fin !== 'sent') return false
    return buffer.chunkAt + buffer.chunkLength === this.finalSize
  }

  take(target: Uint8Array, at: number, fin: boolean): void {
    if (this.buffer.chunkLength > 0) this.buffer.take(target, at)
    if (fin && this.#fin === 'wanted') this.#fin = 'sent'
  }

  acked(offset: number, length: number, fin: boolean): void {
    if (this.#reset !== 'none') return
    this.buffer.acked(offset, length)
    if (fin) this.#fin = 'acked'
  }

  lost(offset: number, length: number, fin: boolean): void {
    if (this.#reset !== 'none') return
    if (length > 0) this.buffer.lost(offset, length)
    if (fin && this.#fin === 'sent') this.#fin = 'wanted'
  }

  resetSent(): void {
    this.#reset = 'sent'
  }

  resetAcked(): void {
    this.#reset = 'acked'
  }

  resetLost(): void {
    if (this.#reset === 'sent') this.#reset = 'wanted'
  }

  /** The connection is over. */
  free(): void {
    this.buffer.free()
  }
}
