/**
 * One object by name: what our API server has, what we told the others, and what the others want here.
 *
 * Memory: a row lives while any of these is there; rows are entries of the term `mesh.objects`.
 */
import type { ObjectName } from './names.ts'
import type { Position } from './position.ts'
import type { Zone } from './zone.ts'

/** An object as our API server has it. */
export interface Observed {
  readonly uid: string
  readonly version: string
  /** Zone that owns it; empty for one born here. */
  readonly owner: string
  /** Cluster where it was born; empty for one born here. */
  readonly cluster: string
  readonly hash: string
  /** From which operation of its owner's log a replica was made; absent for one born here, and when it is not known. */
  readonly made?: Position | undefined
}

/** In place of a hash: that the object is there is known, and not what it is. */
export const HELD = '-'

/** Whether an observation is of this state of this object. */
export function isState(observed: Observed | undefined, uid: string, version: string): boolean {
  return observed !== undefined && observed.uid === uid && observed.version === version
}

/** What another zone's log says that should be here; its content is in that log. */
export interface Desired {
  readonly zone: Zone
  /** `idKey` of the log that says so. */
  readonly logKey: string
  readonly seq: number
  /** Position in the chunk; 0 in a put. */
  readonly part: number
  readonly version: string
  /** `HELD` when its owner cannot send it: a replica stays as it is, and none is made. */
  readonly hash: string
  /** Of the zone with the next larger name that wants this object too. */
  next: Desired | undefined
}

/** `waiting` for another attempt after a failure, `calming` before what somebody else did is put back once more. */
export type RowState = 'idle' | 'queued' | 'waiting' | 'calming' | 'busy'

export class Row implements ObjectName {
  readonly key: string
  readonly resource: string
  readonly namespace: string
  readonly name: string
  observed: Observed | undefined
  /** An object of this name is larger than what is read; whose it is may not be known. */
  unread = false
  /** What the others have of an object born here; empty hash for nothing, `HELD` for whatever they had before. */
  publishedHash = ''
  publishedVersion = ''
  publishedSeq = -1
  publishedBytes = 0
  /** The chunk of a snapshot in which it was put last. */
  chunk = 0
  /** The one that counts: of the zone with the smallest name. */
  desired: Desired | undefined
  /** Our server turned the content `acceptedFor` into `acceptedHash` (defaults, pruning): that is no difference. */
  acceptedFor = ''
  acceptedHash = ''
  /** The log where the content is that our server was given last and still has; empty when that is not known. */
  givenLog = ''
  givenSeq = -1
  givenPart = 0
  /** uid of the replica whose owner said that it is gone; empty for none. */
  goneUid = ''
  state: RowState = 'idle'
  /** Something changed while a write was under way. */
  again = false
  failures = 0
  /** How often what our server was given was put back, and until when the next time waits, in tenths of a second. */
  putBacks = 0
  calmAt = 0
  /** Whether a conflict of owners or an oversize was reported; it is reported once. */
  reported = false
  retryAt = 0
  previous: Row | undefined
  next: Row | undefined

  constructor(key: string, name: ObjectName) {
    this.key = key
    this.resource = name.resource
    this.namespace = name.namespace
    this.name = name.name
  }

  /** Whether an object born in this zone has this name. */
  get local(): boolean {
    return this.observed !== undefined && this.observed.owner === ''
  }

  /** Whether nothing is left to remember. */
  get empty(): boolean {
    return (
      this.observed === undefined &&
      this.desired === undefined &&
      this.publishedHash === '' &&
      !this.unread &&
      this.state === 'idle'
    )
  }

  /** Remembers what our server has by a write of ours, so that the next patch can be made without asking for it. */
  given(desired: Desired): void {
    this.givenLog = desired.logKey
    this.givenSeq = desired.seq
    this.givenPart = desired.part
  }

  forgetGiven(): void {
    this.givenLog = ''
    this.givenSeq = -1
    this.givenPart = 0
  }

  desiredOf(zone: Zone): Desired | undefined {
    for (let each = this.desired; each; each = each.next) if (each.zone === zone) return each
    return undefined
  }

  /** Puts an entry at its place, instead of an earlier one of the same zone. */
  setDesired(entry: Desired): void {
    this.removeDesired(entry.zone)
    if (entry.hash !== HELD) this.goneUid = ''
    if (!this.desired || entry.zone.name < this.desired.zone.name) {
      entry.next = this.desired
      this.desired = entry
      return
    }
    let before = this.desired
    while (before.next && before.next.zone.name < entry.zone.name) before = before.next
    entry.next = before.next
    before.next = entry
  }

  removeDesired(zone: Zone): boolean {
    if (!this.desired) return false
    if (this.desired.zone === zone) {
      this.desired = this.desired.next
      return true
    }
    for (let before = this.desired; before.next; before = before.next) {
      if (before.next.zone === zone) {
        before.next = before.next.next
        return true
      }
    }
    return false
  }

  /** Number of zones that want this object. */
  get desiredCount(): number {
    let count = 0
    for (let each = this.desired; each; each = each.next) count++
    return count
  }
}
