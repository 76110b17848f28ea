/** One stream of a connection, and what the streams of a connection need and tell. */
import type { Account } from '../../bounds/index.ts'
import type { ReceivePart } from './receive-part.ts'
import type { SendPart } from './send-part.ts'

export interface Stream {
  readonly id: number
  readonly bidi: boolean
  readonly own: boolean
  readonly send: SendPart | undefined
  readonly receive: ReceivePart | undefined
  /** Handed to the program, or opened by it. */
  accepted: boolean
  /** It has carried something. */
  shown: boolean
  /** Links of the list of those with something to send. */
  active: boolean
  nextActive: Stream | undefined
  /** What the shell keeps with it. */
  handle: unknown
}

/** What happens on streams, told during the handling of a packet; nothing may be called back. */
export interface StreamEvents {
  /** A stream of the peer carries something for the first time. */
  shown(stream: Stream): void
  /** Bytes, the end or a reset have come. */
  readable(stream: Stream): void
  /** A write that did not take all may be tried again. */
  writable(stream: Stream): void
  stopped(stream: Stream, code: number): void
  /** More of our own streams of this kind may be opened. */
  granted(bidi: boolean): void
  /** The connection ends with this stream open. */
  gone(stream: Stream): void
}

export interface StreamsLimits {
  readonly streamsMax: number
  readonly windowFirstBytes: number
  readonly windowBytesMax: number
  readonly sendBufferBytesMax: number
}

export interface StreamsOptions {
  readonly client: boolean
  readonly limits: StreamsLimits
  readonly accounts: {
    readonly streams: Account
    readonly receive: Account
    readonly send: Account
    /** For gaps in what has come, and in what was acknowledged or lost. */
    readonly gaps: Account
  }
  readonly events: StreamEvents
}
