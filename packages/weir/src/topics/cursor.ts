/**
 * How far a consumer has come in each log of a topic, kept in the store under a name.
 *
 * It says which sequence number comes next, so that after a restart nothing that was acknowledged comes again. Writing
 * is one small value; acknowledgements while one is written are written together afterwards.
 *
 * Memory: one entry of `topics.cursors` per log.
 */
import { type Account, BoundedMap, limitError } from '../bounds/index.ts'
import { copyBytes } from '../codec/index.ts'
import { ID_BYTES, idKey, keyBytes } from '../core/index.ts'
import { WeirError } from '../runtime/index.ts'
import type { LogName, LogStore } from '../store/index.ts'

/** Author, log id, next sequence number. */
const ROW_BYTES = 2 * ID_BYTES + 8
/** Longest name of a cursor. */
const NAME = /^[\w.-]{1,64}$/

export class Cursor implements Disposable {
  readonly #store: LogStore
  readonly #key: string
  readonly #next: BoundedMap<string, number>
  #writing: Promise<void> | undefined
  #again: Promise<void> | undefined
  #disposed = false

  private constructor(store: LogStore, key: string, account: Account) {
    this.#store = store
    this.#key = key
    this.#next = new BoundedMap(account)
  }

  /**
   * Reads the cursor of this name, an empty one when there is none.
   *
   * @throws {WeirError} `CURSOR_NAME_INVALID`, `CURSOR_INVALID`, or what the store says; the account was closed.
   */
  static async open(
    store: LogStore,
    options: { readonly name: string; readonly topic: Uint8Array; readonly account: Account },
  ): Promise<Cursor> {
    const { name, topic, account } = options
    const key = `cursor/${name}/${Buffer.from(topic.subarray(0, 16)).toString('base64url')}`
    const cursor = new Cursor(store, key, account)
    try {
      if (!NAME.test(name)) {
        throw new WeirError(
          'CURSOR_NAME_INVALID',
          'the name of a cursor has 1 to 64 letters, digits, dots, dashes and underscores',
        )
      }
      cursor.#read(await store.meta(key))
      return cursor
    } catch (error) {
      cursor[Symbol.dispose]()
      throw error
    }
  }

  /** The first sequence number of a log that was not acknowledged. */
  next(log: LogName): number {
    return this.#next.peek(keyOf(log)) ?? 0
  }

  /**
   * Everything up to this sequence number was dealt with. The promise settles when the store has it.
   *
   * @throws {WeirError} `LIMIT` when there are too many logs; what the store says.
   */
  async advance(log: LogName, seq: number): Promise<void> {
    if (this.#disposed) throw new WeirError('CLOSED', 'the stream was closed')
    const key = keyOf(log)
    if (seq < (this.#next.peek(key) ?? 0)) return
    const admission = this.#next.set(key, seq + 1)
    if (admission !== 'ok') throw limitError(this.#next.account, admission, 0)
    if (!this.#writing) {
      this.#writing = this.#write()
      return this.#writing
    }
    // What is being written may not have this one; the next write has, and all that come until then.
    this.#again ??= this.#writing.then(
      () => this.#writeAgain(),
      () => this.#writeAgain(),
    )
    return this.#again
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#next[Symbol.dispose]()
  }

  #writeAgain(): Promise<void> {
    this.#again = undefined
    this.#writing = this.#write()
    return this.#writing
  }

  async #write(): Promise<void> {
    try {
      if (!this.#disposed) await this.#store.setMeta(this.#key, this.#bytes())
    } finally {
      if (!this.#again) this.#writing = undefined
    }
  }

  #bytes(): Uint8Array {
    const bytes = Buffer.alloc(this.#next.size * ROW_BYTES)
    let at = 0
    for (const [key, next] of this.#next) {
      bytes.set(keyBytes(key), at)
      bytes.writeBigUInt64BE(BigInt(next), at + 2 * ID_BYTES)
      at += ROW_BYTES
    }
    return bytes
  }

  #read(value: Uint8Array | undefined): void {
    if (!value) return
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
    if (bytes.length % ROW_BYTES !== 0) {
      throw new WeirError(
        'CURSOR_INVALID',
        `the store's value ${this.#key} is no cursor; remove it, or take another name`,
      )
    }
    for (let at = 0; at < bytes.length; at += ROW_BYTES) {
      const key = Buffer.from(copyBytes(bytes.subarray(at, at + 2 * ID_BYTES))).toString('latin1')
      const admission = this.#next.set(key, Number(bytes.readBigUInt64BE(at + 2 * ID_BYTES)))
      if (admission !== 'ok') throw limitError(this.#next.account, admission, 0)
    }
  }
}

const keyOf = (log: LogName): string => idKey(log.author) + idKey(log.logId)
