/**
 * All rows by name. A row appears when there is something to remember of an object and goes with the last of it.
 *
 * Memory: the entries and bytes of `mesh.objects`.
 */
import { type Account, BoundedMap } from 'weir-mesh/bounds'
import { DESIRED_BYTES } from './memory.ts'
import { type ObjectName, objectKey } from './names.ts'
import { Row } from './row.ts'
import type { Zone } from './zone.ts'

export class RowTable implements Disposable {
  readonly #rows: BoundedMap<string, Row>

  constructor(account: Account) {
    this.#rows = new BoundedMap(account, { evict: 'oldest', bytesOf: rowBytes })
  }

  get size(): number {
    return this.#rows.size
  }

  get(key: string): Row | undefined {
    return this.#rows.peek(key)
  }

  find(name: ObjectName): Row | undefined {
    return this.#rows.peek(objectKey(name))
  }

  /** The row of a name, made when there is none; undefined when the table is full. */
  findOrAdd(name: ObjectName): Row | undefined {
    const key = objectKey(name)
    const present = this.#rows.peek(key)
    if (present) return present
    const row = new Row(key, name)
    return this.#rows.set(key, row) === 'ok' ? row : undefined
  }

  /** Makes room for one more zone's entry in a row. @returns false when the table is full. */
  makeDesired(row: Row, zone: Zone): boolean {
    if (!row.desired || row.desiredOf(zone)) return true
    return this.#rows.resize(row.key, rowBytes(row.key, row) + DESIRED_BYTES) === 'ok'
  }

  /** An entry of a row was removed: gives back what it was charged. */
  desiredRemoved(row: Row): void {
    this.#rows.resize(row.key, rowBytes(row.key, row))
  }

  /** Removes a row when nothing is left in it. */
  removeIfEmpty(row: Row): void {
    if (row.empty) this.#rows.delete(row.key)
  }

  all(): IterableIterator<Row> {
    return this.#rows.values()
  }

  [Symbol.dispose](): void {
    this.#rows[Symbol.dispose]()
  }
}

/** The first entry is part of the row's fixed cost. */
function rowBytes(key: string, row: Row): number {
  return key.length * 2 + Math.max(row.desiredCount - 1, 0) * DESIRED_BYTES
}
