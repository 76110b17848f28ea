/**
 * What we know of another zone: which log of it counts, and how far its snapshots have come.
 *
 * Memory: one object per bound zone, at most `zonesMax` of the config.
 */
import type { NodeId } from 'weir-mesh/core'

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
  /** Whether a snapshot of the present log has ended: only then do absent objects mean deleted ones. */
  complete = false
  /** The cluster in which the zone's objects live, from its last complete snapshot. */
  cluster = ''
  snapshot: SnapshotProgress | undefined
  objects = 0
  lastSeq = -1
  /** Objects that could not be remembered because our table was full; nothing is deleted while there are any. */
  overflowed = 0

  constructor(name: string, author: NodeId) {
    this.name = name
    this.author = author
  }
}
