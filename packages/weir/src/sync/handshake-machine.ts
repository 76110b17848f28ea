/**
 * The topic handshake on the first stream of a connection: the dialling side says the topic, the other answers Done, and
 * the first confirms with Done. Upstream answers Done for any topic and closes afterwards when it does not know it.
 *
 * Memory: two words.
 */
import { copyBytes } from '../codec/index.ts'
import type { TopicId } from '../core/index.ts'
import { describeError, isWeirError } from '../runtime/index.ts'
import { type Ending, ending } from './errors.ts'
import { decodeHandshake, encodeHandshake, type HandshakeMessage } from './messages.ts'

/** Longest frame of the handshake: the topic takes 34 bytes. */
export const HANDSHAKE_FRAME_BYTES_MAX = 256

export interface HandshakeEffects {
  send(frame: Uint8Array): void
  /** Both sides agree on the topic, and the sync stream may begin. */
  done(topic: TopicId): void
  fail(end: Ending): void
}

export class HandshakeMachine {
  #topic: TopicId | undefined
  readonly #outbound: boolean
  #over = false

  /** @param topic What to ask for when we dialled; absent for the side that was dialled. */
  constructor(topic?: TopicId) {
    this.#topic = topic
    this.#outbound = topic !== undefined
  }

  start(fx: HandshakeEffects): void {
    if (this.#topic) fx.send(encodeHandshake({ type: 'topic', topic: this.#topic }))
  }

  frame(bytes: Uint8Array, fx: HandshakeEffects): void {
    if (this.#over) return
    let message: HandshakeMessage
    try {
      message = decodeHandshake(bytes)
    } catch (error) {
      if (!isWeirError(error)) throw error
      this.#fail(ending('HANDSHAKE_FAILED', describeError(error)), fx)
      return
    }
    if (message.type === 'topic' && !this.#outbound && !this.#topic) {
      this.#topic = copyBytes(message.topic) as TopicId
      fx.send(encodeHandshake({ type: 'done' }))
    } else if (message.type === 'done' && this.#topic) {
      if (this.#outbound) fx.send(encodeHandshake({ type: 'done' }))
      this.#over = true
      fx.done(this.#topic)
    } else this.#fail(ending('HANDSHAKE_FAILED', `'${message.type}' is not expected now`), fx)
  }

  /**
   * The stream cannot be cut into frames. p2panda 0.6 and older have no frames: their first bytes, an array or a map in
   * CBOR, read as a length of gigabytes.
   */
  unreadable(reason: string, fx: HandshakeEffects): void {
    const what = `the first bytes are no frame (${reason}): p2panda 0.6 and older speak so; update the peer`
    this.#fail(ending('INCOMPATIBLE_PEER', what), fx)
  }

  #fail(end: Ending, fx: HandshakeEffects): void {
    this.#over = true
    fx.fail(end)
  }
}
