/**
 * The packet that is being built: where the next frame goes, where it must end, and what is noted of it.
 *
 * Memory: refers to the one datagram buffer of its endpoint; nothing of its own.
 */
import type { SentPackets } from '../recovery/sent-packets.ts'

export class PacketWriter {
  readonly bytes: Uint8Array
  at = 0
  /** End of the plaintext. */
  end = 0
  /** It holds a frame that the peer must acknowledge. */
  eliciting = false
  #sent: SentPackets | undefined

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  begin(at: number, end: number, sent: SentPackets): void {
    this.at = at
    this.end = end
    this.eliciting = false
    this.#sent = sent
  }

  get room(): number {
    return this.end - this.at
  }

  /** Whether a frame of so many bytes that must be repeated when it is lost can be added. */
  fits(bytes: number): boolean {
    return this.room >= bytes && this.#sent!.hasRefRoom()
  }

  /** A frame was written up to `at`; it is noted with how it is repeated. */
  wrote(at: number, kind: number, id = 0, offset = 0, length = 0): void {
    this.at = at
    this.eliciting = true
    this.#sent!.ref(kind, id, offset, length)
  }

  /** A frame was written that is never repeated. */
  wroteOnce(at: number): void {
    this.at = at
    this.eliciting = true
  }
}
