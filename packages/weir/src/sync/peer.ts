/**
 * A peer of a topic: its at most two sessions, what it has of each log, and the live operations that wait for it.
 *
 * Whichever session carries them, the heights are shared: what one session has sent or will send, no other sends.
 *
 * Memory: one number per log, and a queue of the term `sync.live`.
 */
import { type Account, RingQueue } from '../bounds/index.ts'
import { type NodeId, SEQ_MAX } from '../core/index.ts'
import type { StoredOperation } from '../store/index.ts'
import type { LogRow } from './log-table.ts'
import { operationBytes } from './memory.ts'
import type { Session } from './session-machine.ts'

export interface LiveOperation {
  readonly row: LogRow
  readonly operation: StoredOperation
}

export class Peer implements Disposable {
  readonly id: NodeId
  readonly key: string
  /** Per log: the next sequence number that the peer does not have, as far as it says or we know. */
  readonly has: Uint32Array
  readonly queue: RingQueue<LiveOperation>
  /** There is more in the store than in the queue. */
  behind = true
  /** Something of this peer was dropped here, and only a new session brings it again. */
  lost = false
  outbound: Session | undefined
  inbound: Session | undefined
  /** The session on which we said truly what we have: the only one on which the peer sends us its logs. */
  pull: Session | undefined
  /** The session on which live operations go out. */
  push: Session | undefined

  constructor(id: NodeId, key: string, logsMax: number, live: Account) {
    this.id = id
    this.key = key
    this.has = new Uint32Array(logsMax)
    this.queue = new RingQueue<LiveOperation>(live, {
      bytesOf: ({ operation }) => operationBytes(operation.header, operation.body),
    })
  }

  get idle(): boolean {
    return !this.outbound && !this.inbound
  }

  /** The session that already pulls from this peer, unless it is this one or about to end. */
  pulledBy(session: Session | undefined): Session | undefined {
    const { pull } = this
    return pull && pull !== session && !pull.closing && !pull.closed ? pull : undefined
  }

  /** The other session with this peer, if it still works. */
  other(session: Session): Session | undefined {
    const other = session.outbound ? this.inbound : this.outbound
    return other && !other.closing ? other : undefined
  }

  /** The peer has the log up to this operation, or will have when what was sent arrives. */
  reached(row: LogRow, seq: number): void {
    const next = after(seq)
    if (next > this.has[row.index]!) this.has[row.index] = next
  }

  /** What waits is left to the store. */
  fallBehind(): void {
    this.behind = true
    this.queue.clear('shed')
  }

  [Symbol.dispose](): void {
    this.queue[Symbol.dispose]()
  }
}

/**
 * The next sequence number, as a packed array holds it: the last one has no successor there. So a peer that lacks but
 * that one counts as complete, and gets it live or not at all.
 */
export const after = (seq: number): number => packed(seq + 1)

/** A next sequence number as a packed array holds it. What is compared with one from there must be packed as well. */
export const packed = (next: number): number => Math.min(next, SEQ_MAX)
