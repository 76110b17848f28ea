/**
 * The other zones' side of replication: reads their operations into what is desired here.
 *
 * A zone counts through one log at a time. A log of a later incarnation takes over with its begin; what the earlier log
 * said stays until the first snapshot of the new one has ended, so a zone that restarts deletes nothing by being away.
 */
import { type Account, type Admission, BoundedMap } from 'weir-mesh/bounds'
import { idKey, type LogId, type NodeId, type TopicId, zoneLogId } from 'weir-mesh/core'
import { isWeirError } from 'weir-mesh/runtime'
import { contentHash } from './content.ts'
import { isAfter } from './position.ts'
import { type Body, decodeBody, type HeldItem, type Item } from './protocol.ts'
import { HELD, type Row } from './row.ts'
import type { RowTable } from './row-table.ts'
import { Zone } from './zone.ts'

/** An operation of another zone, in the order of its log. */
export interface RemoteOperation {
  readonly author: NodeId
  readonly logId: LogId
  readonly seq: number
  /** The next sequence number of the log, as far as anybody is known to have it; it matters with a begin. */
  readonly height: number
  /** Valid during the call. */
  readonly body: Uint8Array
}

/** What was wrong with an operation or a snapshot; each is a counter and, where it helps, a line in the log. */
export type Problem =
  | 'author-unknown'
  | 'zone-claimed'
  | 'body-undecodable'
  | 'body-unknown'
  | 'log-unknown'
  | 'log-outdated'
  | 'snapshot-partial'
  | 'cluster-rebuilt'
  | 'objects-full'
  | 'contested'

export interface IncomingEffects {
  /** A row's desired state has changed. */
  touched(row: Row): void
  /** The zone's log is another one from now on, read from its begin. */
  logBegun(zone: Zone, height: number): void
  /** An operation of the log that counts. */
  logRead(zone: Zone): void
  /** A log is not needed any more and can be deleted. */
  dropLog(author: NodeId, logId: Uint8Array): void
  problem(problem: Problem, zone: string, detail: string): void
  /** The zone's first complete snapshot of a log, or another one, was applied. */
  snapshotApplied(zone: Zone): void
}

export class Incoming implements Disposable {
  readonly #ownZone: string
  readonly #topic: TopicId
  readonly #rows: RowTable
  readonly #zones: BoundedMap<string, Zone>

  constructor(ownZone: string, topic: TopicId, rows: RowTable, zones: Account) {
    this.#ownZone = ownZone
    this.#topic = topic
    this.#rows = rows
    this.#zones = new BoundedMap(zones)
  }

  /** Binds a zone to the key that may speak for it; again with another key is refused. */
  bind(name: string, author: NodeId): Admission | 'bound' {
    const present = this.#zones.peek(name)
    if (present) return idKey(present.author) === idKey(author) ? 'ok' : 'bound'
    if (name === this.#ownZone) return 'bound'
    return this.#zones.set(name, new Zone(name, author))
  }

  zone(name: string): Zone | undefined {
    return this.#zones.peek(name)
  }

  zoneOf(author: NodeId): Zone | undefined {
    const key = idKey(author)
    for (const zone of this.#zones.values()) if (idKey(zone.author) === key) return zone
    return undefined
  }

  zones(): IterableIterator<Zone> {
    return this.#zones.values()
  }

  /** Applies one operation to what is desired. Whatever is wrong with it is an effect. */
  operation(operation: RemoteOperation, effects: IncomingEffects): void {
    const zone = this.zoneOf(operation.author)
    if (!zone) return effects.problem('author-unknown', '', idText(operation.author))
    let body: Body
    try {
      body = decodeBody(operation.body)
    } catch (error) {
      if (!isWeirError(error)) throw error
      return effects.problem('body-undecodable', zone.name, `${error.code}: ${error.message}`)
    }
    if (body.zone !== zone.name) {
      return effects.problem('zone-claimed', zone.name, `claims to speak for '${body.zone}'`)
    }
    if (!this.#isCurrent(zone, operation, body, effects)) return
    zone.read(operation.seq)
    effects.logRead(zone)
    this.#apply(zone, operation.seq, body, effects)
  }

  [Symbol.dispose](): void {
    this.#zones[Symbol.dispose]()
  }

  /** Whether the operation is of the log that counts; a begin may make its log the one. */
  #isCurrent(
    zone: Zone,
    operation: RemoteOperation,
    body: Body,
    effects: IncomingEffects,
  ): boolean {
    const key = idKey(operation.logId)
    if (key === zone.logKey) return true
    if (body.kind !== 'begin') {
      if (key !== zone.previousLogKey) {
        effects.problem('log-unknown', zone.name, `seq ${operation.seq} of a log without begin`)
      }
      return false
    }
    const named = zoneLogId(this.#topic, zone.name, body.incarnation)
    if (idKey(named) !== key) {
      effects.problem('log-unknown', zone.name, 'the log id does not belong to its incarnation')
      return false
    }
    if (body.incarnation <= zone.incarnation) {
      effects.problem('log-outdated', zone.name, `incarnation ${body.incarnation}`)
      effects.dropLog(zone.author, operation.logId)
      return false
    }
    this.#takeOver(zone, key, body.incarnation, effects)
    effects.logBegun(zone, operation.height)
    return true
  }

  #takeOver(zone: Zone, key: string, incarnation: number, effects: IncomingEffects): void {
    // A log that never completed has nothing that the one before did not have: it goes first.
    if (zone.logKey !== '' && !zone.complete && zone.previousLogKey !== '') {
      effects.dropLog(zone.author, Buffer.from(zone.logKey, 'latin1'))
    } else {
      zone.previousLogKey = zone.logKey
      zone.previousIncarnation = zone.incarnation
    }
    zone.logKey = key
    zone.incarnation = incarnation
    zone.lastSeq = zone.knownSeq = -1
    zone.complete = false
    zone.snapshot = undefined
  }

  #apply(zone: Zone, seq: number, body: Body, effects: IncomingEffects): void {
    switch (body.kind) {
      case 'put':
        return this.#set(zone, seq, 0, body.item, effects)
      case 'delete':
        return this.#gone(zone, seq, this.#rows.find(body.name), effects)
      case 'begin':
        zone.snapshot = { id: body.snapshot, beginSeq: seq, cluster: body.cluster, received: 0 }
        if (zone.cluster === '') zone.cluster = body.cluster
        return
      case 'chunk':
        if (zone.snapshot?.id !== body.snapshot) return
        zone.snapshot.received += body.items.length
        for (const [part, item] of body.items.entries()) this.#set(zone, seq, part, item, effects)
        return
      case 'end':
        return this.#end(zone, body.snapshot, body.count, effects)
      case 'unknown':
        return effects.problem('body-unknown', zone.name, `kind ${body.code}`)
    }
  }

  #set(
    zone: Zone,
    seq: number,
    part: number,
    item: Item | HeldItem,
    effects: IncomingEffects,
  ): void {
    const row = this.#rows.findOrAdd(item)
    if (!row || !this.#rows.makeDesired(row, zone)) {
      // Counted as not received, so that a snapshot which did not fit is not taken for complete.
      if (zone.snapshot) zone.snapshot.received--
      zone.overflowed++
      return effects.problem('objects-full', zone.name, `${item.resource} ${item.name}`)
    }
    const before = row.desiredOf(zone)
    if (!before) zone.objects++
    row.setDesired({
      zone,
      logKey: zone.logKey,
      seq,
      part,
      version: item.content ? item.version : '',
      hash: item.content ? contentHash(item.content) : HELD,
      next: undefined,
    })
    effects.touched(row)
  }

  /**
   * Said by name, it counts before the snapshot is complete, if it is said of the cluster the replica is from, and if the
   * replica was not made from what the log says later.
   */
  #gone(zone: Zone, seq: number, row: Row | undefined, effects: IncomingEffects): void {
    if (!row) return
    this.#unset(zone, row, effects)
    const cluster = zone.complete ? zone.cluster : zone.snapshot?.cluster
    const { observed, desired } = row
    if (desired || observed?.owner !== zone.name || observed.cluster !== cluster) return
    const { made } = observed
    if (made && isAfter(made, { incarnation: zone.incarnation, seq })) return
    row.goneUid = observed.uid
    effects.touched(row)
  }

  #unset(zone: Zone, row: Row | undefined, effects: IncomingEffects): void {
    if (!row?.removeDesired(zone)) return
    zone.objects--
    this.#rows.desiredRemoved(row)
    effects.touched(row)
  }

  #end(zone: Zone, id: number, count: number, effects: IncomingEffects): void {
    const snapshot = zone.snapshot
    if (snapshot?.id !== id) return
    zone.snapshot = undefined
    if (snapshot.received !== count) {
      const detail = `${snapshot.received} of ${count} objects`
      return effects.problem('snapshot-partial', zone.name, detail)
    }
    if (zone.cluster !== snapshot.cluster && zone.cluster !== '') {
      effects.problem('cluster-rebuilt', zone.name, `now ${snapshot.cluster}, was ${zone.cluster}`)
    }
    const first = !zone.complete
    zone.cluster = snapshot.cluster
    zone.complete = true
    zone.knownSeq = zone.lastSeq
    zone.overflowed = 0
    for (const row of this.#rows.all()) {
      const entry = row.desiredOf(zone)
      if (entry && (entry.logKey !== zone.logKey || entry.seq < snapshot.beginSeq)) {
        this.#unset(zone, row, effects)
      } else if (row.observed?.owner === zone.name) effects.touched(row)
    }
    if (first && zone.previousLogKey !== '') {
      effects.dropLog(zone.author, Buffer.from(zone.previousLogKey, 'latin1'))
      zone.previousLogKey = ''
    }
    effects.snapshotApplied(zone)
  }
}

const idText = (id: Uint8Array): string => Buffer.from(id.subarray(0, 5)).toString('hex')
