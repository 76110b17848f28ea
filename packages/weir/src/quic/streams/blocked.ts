/**
 * What we wait for, told to the peer once for each limit (RFC 9000 section 4.1): DATA_BLOCKED and its kin.
 *
 * Memory: three numbers.
 */
export class Blocked {
  /** The limit at which we wait, -1 while we do not. */
  #at = -1
  #told = -1
  #due = false

  get due(): boolean {
    return this.#due
  }

  /** We wait at this limit. @returns whether the peer is to be told. */
  wait(limit: number): boolean {
    this.#at = limit
    if (limit !== this.#told) this.#due = true
    return this.#due
  }

  /** There is room again. */
  go(): void {
    this.#at = -1
    this.#due = false
  }

  /** The limit to tell of now. */
  tell(): number {
    this.#due = false
    this.#told = this.#at
    return this.#at
  }

  /** The frame with this limit was lost. @returns whether it is to be told again. */
  lost(limit: number): boolean {
    this.#due ||= this.#at === limit
    return this.#due
  }
}
