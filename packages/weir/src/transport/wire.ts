/**
 * What two ends of a memory connection say to each other: QUIC's vocabulary without packets.
 *
 * A wire is reliable and ordered. Who sends data has the credit for it; who grants credit was charged for it.
 */

export type Message =
  | {
      readonly type: 'open'
      readonly stream: number
      readonly bidi: boolean
      readonly credit: number
    }
  /** The bytes are valid during the call; who keeps them copies them. */
  | { readonly type: 'data'; readonly stream: number; readonly bytes: Uint8Array }
  | { readonly type: 'finish'; readonly stream: number }
  | { readonly type: 'reset'; readonly stream: number; readonly code: number }
  | { readonly type: 'stop'; readonly stream: number; readonly code: number }
  | { readonly type: 'credit'; readonly stream: number; readonly bytes: number }
  /** So many more streams of this kind may be opened. */
  | { readonly type: 'streams'; readonly bidi: boolean; readonly count: number }
  | { readonly type: 'close'; readonly code: number; readonly reason: string }

/** The other end, as the wire sees it. */
export interface WireEnd {
  receive(message: Message): void
  /** The wire broke; nothing comes any more. */
  lost(why: string): void
}

export interface Wire {
  /** Sends; after `close` it does nothing. */
  send(message: Message): void
  /** Nothing more is sent or wanted; what was sent is still delivered. */
  close(): void
}
