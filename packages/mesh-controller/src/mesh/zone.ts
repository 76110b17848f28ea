/**
 * What we know of another zone: which log of it counts, and how far its snapshots have come.
 *
 * Memory: one object per bound zone, at most `zonesMax` of the config.
 */
import type { NodeId } from 'weir-mesh/core'
import type { Position } from './position.ts'

/** A snapshot that has begun and not ended. */
export interface SnapshotProgress {
  readonly id: number
  /** Sequence number of its begin: what was set later is part of it, or newer. */
  readonly beginSeq: number
  readonly cluster: string
  received: number
}

export class Zone {
  readonly name: string
  /** The only key whose operations may speak for the zone. */
  readonly author: NodeId
  /** `idKey` of the log that counts; empty before the first begin. */
  logKey = ''
  incarnation = -1
  /** The log before, kept until the first snapshot of the present one was applied. */
  previousLogKey = ''
  previousIncarnation = -1
  /** Whether a snapshot of the present log has ended: only then do absent objects mean deleted ones. */
  complete = false
  /** The cluster in which the zone's objects live, from its last complete snapshot. */
  cluster = ''
  snapshot: SnapshotProgress | undefined
  /** See `catching-up.ts`: nothing that it wants is written yet. */
  catchingUp = false
  objects = 0
  lastSeq = -1
  /** What was said up to here is known: a log that was made short meanwhile goes on with a begin, and says it by its end. */
  knownSeq = -1
  /** Objects that could not be remembered because our table was full; nothing is deleted while there are any. */
  overflowed = 0

  constructor(name: string, author: NodeId) {
    this.name = name
    this.author = author
  }

  /** A place in one of the two logs that are kept; undefined for one that was dropped. */
  position(logKey: string, seq: number): Position | undefined {
    if (logKey === this.logKey) return { incarnation: this.incarnation, seq }
    if (logKey === this.previousLogKey) return { incarnation: this.previousIncarnation, seq }
    return undefined
  }

  /** The next operation of the log that counts is read. */
  read(seq: number): void {
    if (this.knownSeq === this.lastSeq && seq === this.lastSeq + 1) this.knownSeq = seq
    this.lastSeq = seq
  }

  /** Whether the log was read so far that what it says of a replica made there is known. */
  hasRead({ incarnation, seq }: Position): boolean {
    if (incarnation === this.incarnation) return seq <= this.knownSeq
    // A later life is not known yet. Of an earlier one the first snapshot of this one says what is left.
    return incarnation < this.incarnation && this.complete
  }
}
