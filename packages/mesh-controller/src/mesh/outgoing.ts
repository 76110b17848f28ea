/**
 * The own zone's side of replication: which changes become operations, and how a snapshot is written.
 *
 * Operations leave in the order in which they are decided; sequence numbers are counted here, because a zone starts a
 * new log with each of its lives.
 */
import type { Account } from 'weir-mesh/bounds'
import { assert } from 'weir-mesh/runtime'
import { compareResourceVersions } from '../kube/index.ts'
import { CHUNK_ITEM_BYTES } from './memory.ts'
import type { ObjectName } from './names.ts'
import {
  encodeBegin,
  encodeChunk,
  encodeDelete,
  encodeEnd,
  encodeHeld,
  encodeItem,
  encodePut,
} from './protocol.ts'
import { HELD, type Row } from './row.ts'
import { CHUNK_BYTES_MAX } from './sizes.ts'

export interface PublishEffects {
  /** Appends an operation to the own log; called in the order of `seq`. The bytes are handed over. */
  publish(seq: number, body: Uint8Array, prune: boolean): void
}

interface OpenSnapshot {
  readonly id: number
  readonly beginSeq: number
  count: number
  items: Uint8Array[]
  /** What they are charged: each with more than its head in the chunk. */
  bytes: number
  /** Number of the chunk that is being filled; rows in it carry it. */
  chunk: number
}

/**
 * Memory: the items of one chunk, charged to `mesh.snapshot-chunk`; the rest is in the rows.
 */
export class Outgoing implements Disposable {
  readonly #zone: string
  readonly #incarnation: number
  readonly #chunk: Account
  #seq = 0
  #snapshots = 0
  #chunks = 0
  #open: OpenSnapshot | undefined
  #begun = false
  #liveBytes = 0
  #liveObjects = 0

  constructor(zone: string, incarnation: number, chunk: Account) {
    this.#zone = zone
    this.#incarnation = incarnation
    this.#chunk = chunk
  }

  /** Operations published so far: the next sequence number. */
  get seq(): number {
    return this.#seq
  }

  /** Whether the first snapshot has begun: before that, changes wait for it. */
  get begun(): boolean {
    return this.#begun
  }

  get snapshotOpen(): boolean {
    return this.#open !== undefined
  }

  /** Bytes that a snapshot would have now, with the names: of small objects they are the larger part. */
  get liveBytes(): number {
    return this.#liveBytes
  }

  get liveObjects(): number {
    return this.#liveObjects
  }

  /** An object born here is as `content`: publishes it when the others have something else. */
  changed(row: Row, content: Uint8Array, effects: PublishEffects): void {
    const observed = row.observed!
    if (!this.#begun || row.publishedHash === observed.hash) return
    const item = { ...nameOf(row), version: observed.version, content }
    this.#flushIfPending(row, effects)
    const body = encodePut(this.#zone, item)
    this.#record(row, body.length)
    this.#publish(body, false, effects)
  }

  /** An object born here is gone. */
  gone(row: Row, version: string, effects: PublishEffects): void {
    if (row.publishedHash === '') return
    this.#flushIfPending(row, effects)
    this.#forget(row)
    this.#publish(encodeDelete(this.#zone, nameOf(row), version), false, effects)
  }

  /** Begins a snapshot; one that was open and did not end is given up by this. */
  begin(cluster: string, count: number, effects: PublishEffects): void {
    this.abort()
    this.#begun = true
    const id = ++this.#snapshots
    this.#open = { id, beginSeq: this.#seq, count: 0, items: [], bytes: 0, chunk: ++this.#chunks }
    const fields = { incarnation: this.#incarnation, snapshot: id, cluster, count }
    this.#publish(encodeBegin(this.#zone, fields), true, effects)
  }

  /**
   * Adds an object that was listed.
   *
   * @returns `stale` when the others already had a newer one before the snapshot began, so that the caller has to
   *   read the object again.
   */
  item(
    row: Row,
    version: string,
    hash: string,
    content: Uint8Array,
    effects: PublishEffects,
  ): 'ok' | 'stale' {
    const open = this.#open
    assert(open, 'an item without a snapshot')
    if (this.names(row)) return 'ok' // its own put belongs to this snapshot already
    if (row.publishedVersion !== '' && compareResourceVersions(row.publishedVersion, version) > 0)
      return 'stale'
    const bytes = encodeItem({ ...nameOf(row), version, content })
    this.#add(open, bytes, effects)
    this.#record(row, bytes.length, version, hash)
    row.chunk = open.chunk
    return 'ok'
  }

  /** Whether the open snapshot has said something of an object. */
  names(row: Row): boolean {
    return this.#open !== undefined && row.publishedSeq > this.#open.beginSeq
  }

  /**
   * Says of an object that could not be listed or is not to be sent that it is still there: left out, it would be
   * deleted everywhere else.
   *
   * @param row that of the name, if there is one.
   */
  hold(name: ObjectName, row: Row | undefined, effects: PublishEffects): void {
    const open = this.#open
    assert(open, 'an item without a snapshot')
    const bytes = encodeHeld(name)
    this.#add(open, bytes, effects)
    if (!row) return
    this.#record(row, bytes.length, '', HELD)
    row.chunk = open.chunk
  }

  /** Writes out what waits for a full chunk: the rest of the snapshot may take long. */
  flush(effects: PublishEffects): void {
    assert(this.#open, 'no snapshot to write out')
    this.#flush(this.#open, effects)
  }

  /** Ends the snapshot: from here on the receivers delete what it did not name. */
  end(effects: PublishEffects): void {
    const open = this.#open
    assert(open, 'the end of no snapshot')
    this.#flush(open, effects)
    this.#publish(encodeEnd(this.#zone, open.id, open.count), false, effects)
    this.#open = undefined
  }

  /** Gives up a snapshot that cannot be finished; the next one replaces it at the receivers. */
  abort(): void {
    if (!this.#open) return
    this.#chunk.give(this.#open.bytes)
    this.#open = undefined
  }

  [Symbol.dispose](): void {
    this.abort()
    this.#chunk[Symbol.dispose]()
  }

  #add(open: OpenSnapshot, item: Uint8Array, effects: PublishEffects): void {
    const charge = item.length + CHUNK_ITEM_BYTES
    if (open.bytes + charge > CHUNK_BYTES_MAX) this.#flush(open, effects)
    this.#chunk.require(charge)
    open.items.push(item)
    open.bytes += charge
    open.count++
  }

  /** A put or a delete must not overtake the same object in a chunk that is still being filled. */
  #flushIfPending(row: Row, effects: PublishEffects): void {
    if (this.#open && row.chunk === this.#open.chunk) this.#flush(this.#open, effects)
  }

  #flush(open: OpenSnapshot, effects: PublishEffects): void {
    if (open.items.length === 0) return
    const body = encodeChunk(this.#zone, open.id, open.items)
    this.#chunk.give(open.bytes)
    open.items = []
    open.bytes = 0
    open.chunk = ++this.#chunks
    this.#publish(body, false, effects)
  }

  #publish(body: Uint8Array, prune: boolean, effects: PublishEffects): void {
    effects.publish(this.#seq++, body, prune)
  }

  #record(
    row: Row,
    bytes: number,
    version = row.observed!.version,
    hash = row.observed!.hash,
  ): void {
    if (row.publishedHash === '') this.#liveObjects++
    this.#liveBytes += bytes - row.publishedBytes
    row.publishedHash = hash
    row.publishedVersion = version
    row.publishedSeq = this.#seq
    row.publishedBytes = bytes
  }

  #forget(row: Row): void {
    this.#liveObjects--
    this.#liveBytes -= row.publishedBytes
    row.publishedHash = ''
    row.publishedVersion = ''
    row.publishedSeq = -1
    row.publishedBytes = 0
  }
}

const nameOf = (row: Row) => ({ resource: row.resource, namespace: row.namespace, name: row.name })
