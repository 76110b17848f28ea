/**
 * The operations of one log, packed one after the other into segments: header, body and ids in one buffer, so that an
 * operation costs RECORD_BYTES beyond its payload and no object at all.
 *
 * Sequence numbers in a log are consecutive, so a record is found by its segment and a short scan. A segment is freed
 * when its last record goes, and copied into a smaller one when more of it is dead than alive.
 *
 * Memory: each segment is charged in full, with its shell, before it is allocated: bytes to the account of the log
 * (and its pool), one entry per operation to the log and to the store. While a segment is copied, both live.
 */
import { type Account, type Admission, BUFFER_SHELL_BYTES, type Exit } from '../bounds/index.ts'
import type { LogName, Page, StoredOperation } from './log-store.ts'
import { payloadBytes } from './order.ts'
import {
  bareLengthAt,
  clearBodyAt,
  hasBodyAt,
  hasIdAt,
  keptAt,
  lengthAt,
  RECORD_BYTES,
  recordBytes,
  viewRecord,
  writeRecord,
} from './record.ts'

/** A segment beside its bytes: the buffer's shell and an object of nine fields. */
export const SEGMENT_SHELL_BYTES = BUFFER_SHELL_BYTES + 100
/** The least capacity of a segment of a log that has more than one operation. */
const SEGMENT_BYTES_MIN = 1024
interface Segment {
  bytes: Buffer
  /** Where the first live record starts and the last ends. */
  start: number
  end: number
  /** Sequence number of the first live record. */
  first: number
  count: number
  bodies: number
  /** Header and body bytes of the live records. */
  payload: number
  next: Segment | undefined
}

/** What all logs of a store hold together. */
export interface Totals {
  readonly operations: Account
  /** Charged bytes of all segments. */
  bytes: number
}

export interface SegmentsOptions {
  /** Of this log: entries are operations, bytes are segments. */
  readonly account: Account
  readonly totals: Totals
  /** Capacity up to which segments grow. */
  readonly segmentBytes: number
  /** Where buffers come from; tests let it fail. */
  readonly allocate: (bytes: number) => Buffer
}

export class Segments implements Disposable {
  readonly #account: Account
  readonly #totals: Totals
  readonly #segmentBytes: number
  readonly #allocate: (bytes: number) => Buffer
  #oldest: Segment | undefined
  #newest: Segment | undefined
  /** Where the last look-up ended: readers go through a log in order, and a long one has hundreds of segments. */
  #hint: Segment | undefined
  #payload = 0

  constructor(options: SegmentsOptions) {
    this.#account = options.account
    this.#totals = options.totals
    this.#segmentBytes = options.segmentBytes
    this.#allocate = options.allocate
  }

  get account(): Account {
    return this.#account
  }

  get operations(): number {
    return this.#account.entries
  }

  /** Header and body bytes. */
  get bytes(): number {
    return this.#payload
  }

  /** Lowest sequence number that is here; undefined when nothing is. */
  get from(): number | undefined {
    return this.#oldest?.first
  }

  /** Charged bytes that appending wants, 0 when it fits into the newest segment. */
  wants(operation: StoredOperation): number {
    const size = recordBytes(operation)
    return this.#fits(size) ? 0 : this.#preferred(size) + SEGMENT_SHELL_BYTES
  }

  /** Charged bytes that appending needs at least. */
  needs(operation: StoredOperation): number {
    const size = recordBytes(operation)
    return this.#fits(size) ? 0 : size + SEGMENT_SHELL_BYTES
  }

  /**
   * Appends the next operation of the log.
   *
   * @param freeBytes what may be charged at most for a new segment: it is made smaller to fit.
   */
  append(operation: StoredOperation, keptMs: number, freeBytes: number): Admission {
    const size = recordBytes(operation)
    if (this.#fits(size)) {
      const admission = this.#charge(0)
      if (admission === 'ok') this.#write(this.#newest!, operation, keptMs)
      return admission
    }
    const capacity = Math.max(
      size,
      Math.min(this.#preferred(size), freeBytes - SEGMENT_SHELL_BYTES),
    )
    const admission = this.#charge(capacity + SEGMENT_SHELL_BYTES)
    if (admission !== 'ok') return admission
    const segment = this.#newSegment(capacity, operation.seq)
    if (!segment) {
      this.#account.give(capacity + SEGMENT_SHELL_BYTES, 1)
      this.#totals.operations.give(0, 1)
      return 'pool'
    }
    this.#totals.bytes += capacity + SEGMENT_SHELL_BYTES
    this.#link(segment)
    this.#write(segment, operation, keptMs)
    return 'ok'
  }

  /** Charged bytes that `replaceAll` needs beyond those that it frees. */
  replaceNeeds(operation: StoredOperation): number {
    return recordBytes(operation) + SEGMENT_SHELL_BYTES - this.#account.bytes
  }

  /**
   * Puts one operation in the place of all that are here. What it needs is paid with what goes, so that a full log
   * can be pruned, under pressure too.
   */
  replaceAll(operation: StoredOperation, keptMs: number): Admission {
    const entries = this.#account.entries
    if (entries === 0) return this.append(operation, keptMs, 0)
    const capacity = recordBytes(operation)
    const more = this.replaceNeeds(operation)
    if (more > 0) {
      const admission = this.#account.take(more)
      if (admission !== 'ok') return admission
    }
    const segment = this.#newSegment(capacity, operation.seq)
    if (!segment) {
      if (more > 0) this.#account.give(more)
      return 'pool'
    }
    this.#oldest = this.#newest = this.#hint = undefined
    this.#payload = 0
    this.#link(segment)
    this.#write(segment, operation, keptMs)
    this.#account.give(Math.max(-more, 0), entries - 1)
    this.#totals.operations.give(0, entries - 1)
    this.#totals.bytes += more
    this.#exits('removed', entries)
    return 'ok'
  }

  /** Whether the operation here has this id; undefined when there is none. */
  hasAt(seq: number, id: Uint8Array): boolean | undefined {
    const segment = this.#segmentOf(seq)
    if (!segment) return undefined
    return hasIdAt(segment.bytes, offsetOf(segment, seq), id)
  }

  /** Removes what is before `seq`. @returns how many operations went. */
  dropBefore(seq: number, why: Exit): number {
    let dropped = 0
    while (this.#oldest && this.#oldest.first + this.#oldest.count <= seq) {
      dropped += this.dropOldestSegment(why)
    }
    const segment = this.#oldest
    if (!segment || segment.first >= seq) return dropped
    let at = segment.start
    const count = seq - segment.first
    for (let each = 0; each < count; each++) {
      const length = lengthAt(segment.bytes, at)
      const payload = length - RECORD_BYTES
      if (hasBodyAt(segment.bytes, at)) segment.bodies--
      segment.payload -= payload
      this.#payload -= payload
      at += length
    }
    segment.start = at
    segment.first = seq
    segment.count -= count
    this.#giveEntries(count, why)
    if (segment.start > segment.end - segment.start) this.#copy(segment, false)
    return dropped + count
  }

  /** Removes what was kept at or before a time; older operations are never kept later. @returns how many went. */
  dropKeptUntil(keptMs: number): number {
    let seq: number | undefined
    scan: for (let segment = this.#oldest; segment; segment = segment.next) {
      let at = segment.start
      for (let each = 0; each < segment.count; each++) {
        if (keptAt(segment.bytes, at) > keptMs) break scan
        seq = segment.first + each + 1
        at += lengthAt(segment.bytes, at)
      }
    }
    return seq === undefined ? 0 : this.dropBefore(seq, 'expired')
  }

  /** Removes the segment with the oldest operations. @returns how many went. */
  dropOldestSegment(why: Exit): number {
    const segment = this.#oldest
    if (!segment) return 0
    this.#oldest = segment.next
    if (this.#hint === segment) this.#hint = undefined
    if (!this.#oldest) this.#newest = undefined
    this.#payload -= segment.payload
    this.#giveEntries(segment.count, why)
    this.#giveBytes(segment.bytes.length + SEGMENT_SHELL_BYTES)
    return segment.count
  }

  /** Removes the bodies of the oldest segment that has some. @returns whether that freed anything. */
  stripOldestSegment(): boolean {
    for (let segment = this.#oldest; segment; segment = segment.next) {
      if (segment.bodies > 0 && this.#copy(segment, true)) return true
    }
    return false
  }

  /** Operations from `from` to `until`, copied into a buffer of their own, until `bytesMax` (at least one). */
  read(log: LogName, from: number, until: number, bytesMax: number): Page {
    const first = Math.max(from, this.from ?? 0)
    const operations: StoredOperation[] = []
    let size = 0
    let payload = 0
    let count = 0
    for (const [bytes, at] of this.#records(first, until)) {
      const length = lengthAt(bytes, at)
      if (count > 0 && payload + length - RECORD_BYTES > bytesMax) break
      payload += length - RECORD_BYTES
      size += length
      count++
    }
    const page = new Uint8Array(size)
    let to = 0
    let seq = first
    for (const [bytes, at] of this.#records(first, first + count - 1)) {
      const length = lengthAt(bytes, at)
      page.set(bytes.subarray(at, at + length), to)
      operations.push(viewRecord(log, seq++, page, to, bytes, at))
      to += length
    }
    const last = this.#newest ? this.#newest.first + this.#newest.count - 1 : -1
    return { operations, last: first + count > Math.min(until, last) }
  }

  measure(from: number, until: number): { operations: number; bytes: number } {
    let operations = 0
    let bytes = 0
    for (let segment = this.#oldest; segment && segment.first <= until; segment = segment.next) {
      const end = segment.first + segment.count - 1
      if (end < from) continue
      if (from <= segment.first && end <= until) {
        operations += segment.count
        bytes += segment.payload
        continue
      }
      let at = segment.start
      for (let seq = segment.first; seq <= Math.min(end, until); seq++) {
        const length = lengthAt(segment.bytes, at)
        if (seq >= from) {
          operations++
          bytes += length - RECORD_BYTES
        }
        at += length
      }
    }
    return { operations, bytes }
  }

  /** Removes everything and closes the account of the log. */
  [Symbol.dispose](): void {
    this.clear('closed')
    this.#account[Symbol.dispose]()
  }

  clear(why: Exit): void {
    while (this.#oldest) this.dropOldestSegment(why)
  }

  #fits(size: number): boolean {
    const newest = this.#newest
    return newest !== undefined && newest.end + size <= newest.bytes.length
  }

  /**
   * A quarter of what the log has, so that a small log wastes little and a long one has few segments, and a whole
   * number of operations of this size, for most operations of a log are alike.
   */
  #preferred(size: number): number {
    if (!this.#newest) return size
    const grown = Math.max(this.#account.bytes / 4, SEGMENT_BYTES_MIN)
    return Math.max(1, Math.floor(Math.min(grown, this.#segmentBytes) / size)) * size
  }

  #charge(bytes: number): Admission {
    const admission = this.#account.take(bytes, 1)
    if (admission !== 'ok') return admission
    const total = this.#totals.operations.take(0, 1)
    if (total !== 'ok') this.#account.give(bytes, 1)
    return total
  }

  #newSegment(capacity: number, first: number): Segment | undefined {
    try {
      const bytes = this.#allocate(capacity)
      return { bytes, start: 0, end: 0, first, count: 0, bodies: 0, payload: 0, next: undefined }
    } catch {
      // V8 answers a failed allocation of a buffer with a RangeError; for the log that is a full store.
      return undefined
    }
  }

  #link(segment: Segment): void {
    if (this.#newest) this.#newest.next = segment
    else this.#oldest = segment
    this.#newest = segment
  }

  #write(segment: Segment, operation: StoredOperation, keptMs: number): void {
    writeRecord(segment.bytes, segment.end, operation, keptMs)
    const payload = payloadBytes(operation)
    segment.end += RECORD_BYTES + payload
    segment.count++
    segment.payload += payload
    if (operation.body) segment.bodies++
    this.#payload += payload
  }

  /** Copies the live records into a segment of just their size. @returns whether that freed anything. */
  #copy(segment: Segment, withoutBodies: boolean): boolean {
    const old = segment.bytes
    let size = segment.end - segment.start
    if (withoutBodies) size -= bodyBytes(segment)
    const copy = size < old.length ? this.#newSegment(size, segment.first)?.bytes : undefined
    if (!copy) return false
    let at = segment.start
    let to = 0
    for (let each = 0; each < segment.count; each++) {
      const length = lengthAt(old, at)
      const kept = withoutBodies ? bareLengthAt(old, at) : length
      old.copy(copy, to, at, at + kept)
      if (withoutBodies) clearBodyAt(copy, to)
      at += length
      to += kept
    }
    if (withoutBodies) {
      const gone = segment.payload - (size - segment.count * RECORD_BYTES)
      segment.bodies = 0
      segment.payload -= gone
      this.#payload -= gone
    }
    segment.bytes = copy
    segment.start = 0
    segment.end = size
    this.#giveBytes(old.length - size)
    return true
  }

  #giveBytes(bytes: number): void {
    this.#account.give(bytes)
    this.#totals.bytes -= bytes
  }

  #giveEntries(count: number, why: Exit): void {
    this.#account.give(0, count)
    this.#totals.operations.give(0, count)
    this.#exits(why, count)
  }

  #exits(why: Exit, count: number): void {
    for (let each = 0; each < count; each++) this.#totals.operations.exit(why)
  }

  #segmentOf(seq: number): Segment | undefined {
    const hint = this.#hint
    let segment = hint && hint.first <= seq ? hint : this.#oldest
    while (segment && segment.first + segment.count <= seq) segment = segment.next
    if (!segment || segment.first > seq) return undefined
    this.#hint = segment
    return segment
  }

  *#records(from: number, until: number): IterableIterator<[Buffer, number]> {
    let segment = this.#segmentOf(from)
    let seq = from
    let at = segment ? offsetOf(segment, from) : 0
    while (segment && seq <= until) {
      if (seq === segment.first + segment.count) {
        segment = segment.next
        at = segment?.start ?? 0
        continue
      }
      yield [segment.bytes, at]
      at += lengthAt(segment.bytes, at)
      seq++
    }
  }
}

function offsetOf(segment: Segment, seq: number): number {
  let at = segment.start
  for (let each = segment.first; each < seq; each++) at += lengthAt(segment.bytes, at)
  return at
}

function bodyBytes(segment: Segment): number {
  let at = segment.start
  let sum = 0
  for (let each = 0; each < segment.count; each++) {
    sum += lengthAt(segment.bytes, at) - bareLengthAt(segment.bytes, at)
    at += lengthAt(segment.bytes, at)
  }
  return sum
}
