/**
 * All objects as JSON text, their versions, and the last changes for the watches.
 *
 * A write takes the next revision and is one change in the history; revisions have no gaps, so a revision is also a
 * place in the history. They start at the time of day in ms: a server that was started again answers an old revision
 * with 410 and never mistakes it for one of its own.
 *
 * Memory: `api.objects` and `api.history`.
 */
import { type Account, limitError, RingQueue } from 'weir-mesh/bounds'
import type { Random } from 'weir-mesh/runtime'
import { OrderedMap } from './ordered-map.ts'

export interface Stored {
  readonly text: string
  readonly revision: number
  readonly uid: string
}

export type ChangeType = 'ADDED' | 'MODIFIED' | 'DELETED'

export interface Change {
  readonly revision: number
  readonly type: ChangeType
  /** Key of the object in the store. */
  readonly key: string
  /** The object with this revision; for DELETED its last state. */
  readonly text: string
}

export interface StoreOptions {
  readonly objects: Account
  readonly history: Account
  readonly random: Random
  readonly firstRevision: number
  /** Called after each change. */
  onChange(change: Change): void
}

export class Store implements Disposable {
  readonly #objects: OrderedMap<Stored>
  readonly #history: RingQueue<Change>
  readonly #onChange: (change: Change) => void
  #revision: number
  #compacted: number

  constructor(options: StoreOptions) {
    this.#objects = new OrderedMap<Stored>(options.objects, {
      random: options.random,
      bytesOf: (key, stored) => textBytes(key) + textBytes(stored.text) + stored.uid.length,
    })
    this.#history = new RingQueue<Change>(options.history, {
      bytesOf: (change) => textBytes(change.text) + textBytes(change.key),
    })
    this.#onChange = options.onChange
    this.#revision = options.firstRevision
    this.#compacted = options.firstRevision
  }

  /** The revision of the last change. */
  get revision(): number {
    return this.#revision
  }

  /** Changes up to this revision are forgotten. */
  get compacted(): number {
    const oldest = this.#history.peek()
    return oldest ? oldest.revision - 1 : this.#compacted
  }

  get size(): number {
    return this.#objects.size
  }

  get(key: string): Stored | undefined {
    return this.#objects.get(key)
  }

  /** Objects below a prefix in the order of their keys, after `from`; the store may change meanwhile. */
  range(prefix: string, from?: string): IterableIterator<readonly [string, Stored]> {
    return this.#objects.range(prefix, from)
  }

  /**
   * Keeps an object. `write` gives its text for the revision that it gets.
   *
   * @throws {WeirError} `LIMIT` when the store is full; nothing has changed then.
   */
  put(key: string, uid: string, write: (revision: number) => string): Stored {
    const present = this.#objects.get(key)
    const revision = this.#revision + 1
    const stored: Stored = { text: write(revision), revision, uid }
    const admission = this.#objects.set(key, stored)
    if (admission !== 'ok') throw limitError(this.#objects.account, admission, stored.text.length)
    this.#changed({ revision, type: present ? 'MODIFIED' : 'ADDED', key, text: stored.text })
    return stored
  }

  /** Removes an object. `write` gives its last text with the revision of the removal. */
  delete(key: string, write: (revision: number, stored: Stored) => string): void {
    const present = this.#objects.get(key)
    if (!present) return
    const revision = this.#revision + 1
    const text = write(revision, present)
    this.#objects.delete(key)
    this.#changed({ revision, type: 'DELETED', key, text })
  }

  /** The first change after a revision; undefined when there is none yet. Older than `compacted` is an assertion. */
  changeAfter(revision: number): Change | undefined {
    const oldest = this.#history.peek()
    return oldest && this.#history.at(revision + 1 - oldest.revision)
  }

  /** Forgets all changes, as a compaction of etcd does. */
  compact(): void {
    this.#history.clear('shed')
    this.#compacted = this.#revision
  }

  [Symbol.dispose](): void {
    this.#history[Symbol.dispose]()
    this.#objects[Symbol.dispose]()
  }

  #changed(change: Change): void {
    this.#revision = change.revision
    // A change that the history does not take makes a gap, and gaps are not allowed: all of it goes.
    if (this.#history.push(change) !== 'ok') this.compact()
    this.#onChange(change)
  }
}

/** Bytes of a string in memory: V8 keeps a string of Latin-1 characters in one byte each. */
function textBytes(text: string): number {
  return Buffer.byteLength(text) === text.length ? text.length : 2 * text.length
}
