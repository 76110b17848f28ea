/**
 * An answer that is written in pieces to a client that may be slow: what the client has not taken is charged, and
 * nothing more is written until it was. A client that takes nothing for too long is cut.
 *
 * Memory: the pieces in flight, charged to `api.outgoing`; all is given back when the answer closes.
 */
import type { ServerResponse } from 'node:http'
import type { Account } from 'weir-mesh/bounds'
import { Patience, type PatienceOptions } from './patience.ts'

/** A piece that waits, beside its bytes: its buffer, and its places in the queues of the answer and the socket. */
export const PIECE_BYTES = 640

export class Sender {
  readonly #response: ServerResponse
  readonly #account: Account
  readonly #patience: Patience
  #pending = 0
  #closed = false
  #blocked = false
  #onReady: (() => void) | undefined

  constructor(response: ServerResponse, account: Account, patience: PatienceOptions) {
    this.#response = response
    this.#account = account
    // A client that has gone already is told of no more.
    this.#closed = response.destroyed
    this.#patience = new Patience(response, patience)
    response.on('drain', () => this.#ready())
    response.on('close', () => {
      this.#closed = true
      this.#account.give(this.#pending)
      this.#pending = 0
      this.#ready()
    })
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Whether more may be written now. */
  get ready(): boolean {
    return !this.#blocked && !this.#closed
  }

  /**
   * Writes a piece.
   *
   * @returns false when the shared memory is used up at the moment; then nothing was written, and the caller tries
   *   again when `whenReady` fires or later.
   */
  write(text: string): boolean {
    if (this.#closed) return true
    const piece = Buffer.from(text, 'utf8')
    const bytes = piece.length + PIECE_BYTES
    if (this.#account.take(bytes) !== 'ok') return false
    this.#pending += bytes
    this.#patience.waits()
    const flowing = this.#response.write(piece, () => this.#sent(bytes))
    if (!flowing) this.#blocked = true
    return true
  }

  end(): void {
    if (this.#closed) return
    this.#patience.waits()
    this.#response.end()
  }

  /** Cuts the connection. */
  destroy(): void {
    this.#response.destroy()
  }

  /** Calls once when more may be written, or the answer has closed. */
  whenReady(callback: () => void): void {
    this.#onReady = callback
  }

  /** Resolves when more may be written, or the answer has closed. */
  async flowing(): Promise<void> {
    if (this.ready || this.#closed) return
    await new Promise<void>((resolve) => this.whenReady(resolve))
  }

  #sent(bytes: number): void {
    if (this.#closed) return
    this.#pending -= bytes
    this.#patience.took(this.#pending > 0 || this.#response.writableEnded)
    this.#account.give(bytes)
  }

  #ready(): void {
    this.#blocked = false
    const callback = this.#onReady
    this.#onReady = undefined
    callback?.()
  }
}
