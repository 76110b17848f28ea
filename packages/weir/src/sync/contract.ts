/** What the sync machine of a topic sees of the world, and what it asks of it. */

import type { Header, LogId, NodeId } from '../core/index.ts'
import type { Ticket } from '../machine/index.ts'
import type { Appended, LogName, LogState, Page, StoredOperation } from '../store/index.ts'
import type { EndCode, Ending } from './errors.ts'

/** A part of a log, both ends included. */
export interface LogRange extends LogName {
  readonly from: number
  readonly until: number
}

export type TopicEvent =
  /** The topic handshake of a connection is over; `ticket` is that of the dial when we dialled. */
  | {
      readonly type: 'up'
      readonly link: number
      readonly peer: NodeId
      readonly outbound: boolean
    }
  /** A frame without its length; valid during the call. `reserve` was asked before. */
  | { readonly type: 'frame'; readonly link: number; readonly bytes: Uint8Array }
  /** All frames of a link that had arrived were given. `unfinished`: the beginning of one is left over. */
  | { readonly type: 'flush'; readonly link: number; readonly unfinished: boolean }
  /** The stream has taken all of what one `send` gave it. */
  | { readonly type: 'sent'; readonly link: number; readonly bytes: number }
  /** The link cannot be read any more, because of what arrived: a frame that is too long, for example. */
  | { readonly type: 'broken'; readonly link: number; readonly ending: Ending }
  /** The peer ended its stream without a Close. */
  | { readonly type: 'finished'; readonly link: number }
  /** The connection was closed or lost. */
  | {
      readonly type: 'down'
      readonly link: number
      readonly code: number
      readonly reason: string
      readonly by: 'remote' | 'local' | 'lost'
    }
  | { readonly type: 'want'; readonly peer: NodeId }
  | { readonly type: 'unwant'; readonly peer: NodeId }
  | { readonly type: 'dial-failed'; readonly ticket: Ticket; readonly code: string }
  | { readonly type: 'logs'; readonly ticket: Ticket; readonly logs: readonly LogState[] }
  | {
      readonly type: 'measured'
      readonly ticket: Ticket
      readonly operations: number
      readonly bytes: number
    }
  | { readonly type: 'page'; readonly ticket: Ticket; readonly page: Page }
  /** One answer for each header, in order. */
  | { readonly type: 'verified'; readonly ticket: Ticket; readonly valid: readonly boolean[] }
  | { readonly type: 'appended'; readonly ticket: Ticket; readonly answers: readonly Appended[] }
  /** What was asked for with this ticket failed. */
  | { readonly type: 'failed'; readonly ticket: Ticket; readonly message: string }
  | { readonly type: 'publish'; readonly ticket: Ticket; readonly operation: StoredOperation }
  /** Others need the memory: end the session whose unfinished frame is the oldest, if that takes long. */
  | { readonly type: 'yield-frame' }
  /** Begin all sessions anew. */
  | { readonly type: 'refresh' }
  /** A log was removed from the store on purpose. */
  | { readonly type: 'forget'; readonly log: LogName }
  /** The consumer has taken operations. */
  | { readonly type: 'taken' }
  /** Ask all peers to end. */
  | { readonly type: 'close' }

/** What became of an own operation. `busy`: no room in memory now; `too-large`: no peer would get it, ever. */
export type Published = Appended | 'busy' | 'too-large' | 'failed'

export interface TopicEffects {
  /** Whole frames, for the sync stream of a link; the first opens it when we dialled. */
  send(link: number, frames: Uint8Array): void
  /** `reserve` refused before and may succeed now. */
  resume(link: number): void
  /** The session is over: close the connection. No event of the link is wanted any more. */
  close(link: number, ending: Ending): void
  /** Answered by `up` after connecting and the handshake, or by `dial-failed`. */
  dial(ticket: Ticket, peer: NodeId): void
  logs(ticket: Ticket): void
  measure(ticket: Ticket, ranges: readonly LogRange[]): void
  read(ticket: Ticket, range: LogRange, bytesMax: number): void
  verify(ticket: Ticket, headers: readonly Header[]): void
  append(ticket: Ticket, batch: readonly StoredOperation[]): void
  published(ticket: Ticket, result: Published): void
  /** There was no memory for a frame, which is tried again. After this event: another session may have to yield. */
  crowded(): void
  /** There are operations for the consumer: `shift` gives them. */
  ready(): void
  report(report: SyncReport): void
}

/** What waits in a topic. */
export interface Backlog {
  /** Operations between the wire and the store. */
  readonly ingest: number
  /** Operations that wait for their predecessor. */
  readonly held: number
  readonly locks: number
  /** Operations that wait in memory for the consumer. */
  readonly deliver: number
  /** Whether none waits for the consumer in the store. */
  readonly settled: boolean
}

/** What happened, for logs, status and tests. */
export type SyncReport =
  /** The store does not answer: the consumer gets nothing from it, or no session begins. It is asked again and again. */
  | { readonly type: 'store-failed'; readonly message: string }
  /** It answers again. */
  | { readonly type: 'store-works' }
  /**
   * An operation of the store was kept under a larger plan. For peers, when it fits no frame: its log ends there. For the
   * consumer, when it does not fit the queue: it is left out.
   */
  | {
      readonly type: 'too-long'
      readonly for: 'peers' | 'consumer'
      /** Another one of this log was told before. */
      readonly again: boolean
      readonly author: NodeId
      readonly logId: LogId
      readonly seq: number
      readonly bytes: number
    }
  | { readonly type: 'session'; readonly peer: NodeId; readonly outbound: boolean }
  /** All that the peer had when the session began is kept. */
  | { readonly type: 'synced'; readonly peer: NodeId; readonly operations: number }
  | { readonly type: 'live'; readonly peer: NodeId; readonly outbound: boolean }
  | {
      readonly type: 'ended'
      readonly peer: NodeId
      readonly outbound: boolean
      readonly code: EndCode
      readonly message: string
    }
  | {
      readonly type: 'dial-failed'
      readonly peer: NodeId
      readonly code: string
      readonly retryMs: number
    }
  | { readonly type: 'refused'; readonly peer: NodeId | undefined; readonly reason: string }
  /** Two operations of one author stand at the same place: the log has two ends. */
  | {
      readonly type: 'fork'
      readonly author: NodeId
      readonly logId: LogId
      readonly seq: number
      readonly peer: NodeId | undefined
    }
  /** An operation of our own key arrived that this process did not write: a second process uses the key. */
  | {
      readonly type: 'key-shared'
      readonly logId: LogId
      readonly seq: number
      readonly peer: NodeId | undefined
    }
