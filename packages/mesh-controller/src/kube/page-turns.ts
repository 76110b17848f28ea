/**
 * Tells when a list leads back to one of its own pages, as behind a proxy that drops the query: it would never end.
 *
 * A round of any length is found. One page is remembered, and the newest takes its place each time that twice as many
 * were turned (R. P. Brent, An improved Monte Carlo factorization algorithm, BIT 20, 1980, section 2).
 *
 * Memory: a token, and the names of two objects.
 */
import { KubeError } from './errors.ts'
import type { ObjectMeta } from './types.ts'

export class PageTurns {
  /** Of the page that is being read. */
  #first = ''
  #pages = 0
  #nextMark = 1
  #markedToken = ''
  #markedFirst = ''

  /** An object of the page that is being read; only the first one matters. */
  object({ namespace = '', name }: ObjectMeta): void {
    this.#first ||= `${namespace}/${name}`
  }

  /**
   * The page has ended.
   *
   * @param token of the page that follows; empty at the end of the list.
   * @throws {KubeError} `KUBE_RESPONSE_INVALID` when this page was read before.
   */
  turn(token: string): void {
    const first = this.#first
    this.#first = ''
    if (token === '') return
    if (token === this.#markedToken || (first !== '' && first === this.#markedFirst)) {
      throw new KubeError('KUBE_RESPONSE_INVALID', 'a page of a list leads back to itself', {
        retryable: true,
      })
    }
    if (++this.#pages < this.#nextMark) return
    this.#nextMark *= 2
    this.#markedToken = token
    this.#markedFirst = first
  }
}
