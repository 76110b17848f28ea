/**
 * Verifies signatures on the thread pool of Node, a bounded number at a time.
 *
 * For catch-up, where one thread would be the limit. The order of answers is not the order of questions; whoever
 * needs one numbers its questions.
 *
 * Memory: the jobs that wait or run, with their messages, at most the entries and bytes of its term; what the running
 * ones take outside the heap is charged while the pool is open. A job that does not fit is refused at once: the caller
 * stops reading and tries again after an answer.
 */
import { type KeyObject, verify } from 'node:crypto'
import { type Account, type Admission, limitError } from '../bounds/index.ts'
import { assert, WeirError } from '../runtime/index.ts'
import { RUNNING_JOB_BYTES, VERIFY_RUNNING_MAX } from './memory.ts'
import type { Verifier } from './verifier.ts'

export interface VerifyPoolOptions {
  /** Jobs handed to the thread pool at a time, 1 to 64. Default 64: fewer leave threads idle while this one is busy. */
  readonly runningMax?: number
  /** Verifies one message elsewhere and calls back later. Default: `crypto.verify` on Node's thread pool. */
  readonly offload?: VerifyOffload
}

export type VerifyOffload = (
  key: KeyObject,
  message: Uint8Array,
  signature: Uint8Array,
  done: (valid: boolean) => void,
) => void

const threadPool: VerifyOffload = (key, message, signature, done) => {
  verify(null, message, key, signature, (error, valid) => {
    done(error === null && valid)
  })
}

/** Hears the answer, always after `submit` has returned; undefined when the pool was closed before. */
export type VerifyDone = (valid: boolean | undefined) => void

interface Job {
  readonly key: KeyObject
  readonly message: Uint8Array
  readonly signature: Uint8Array
  readonly bytes: number
  readonly done: VerifyDone
  next: Job | undefined
}

export class VerifyPool implements AsyncDisposable {
  readonly #account: Account
  readonly #verifier: Verifier
  readonly #runningMax: number
  readonly #offload: VerifyOffload
  #running = 0
  #first: Job | undefined
  #last: Job | undefined
  #closing: PromiseWithResolvers<void> | undefined

  /**
   * @param account Account of the term `core.verify-jobs`; closed with the pool.
   * @throws {WeirError} `LIMIT` (retryable) under memory pressure.
   */
  constructor(account: Account, verifier: Verifier, options: VerifyPoolOptions = {}) {
    this.#account = account
    this.#verifier = verifier
    this.#runningMax = options.runningMax ?? VERIFY_RUNNING_MAX
    this.#offload = options.offload ?? threadPool
    const max = this.#runningMax
    assert(max >= 1 && max <= VERIFY_RUNNING_MAX, `runningMax is ${max}`)
    account.require(max * RUNNING_JOB_BYTES)
  }

  /** Jobs that wait or run. */
  get pending(): number {
    return this.#account.entries
  }

  /**
   * Asks for one signature; `message` and `signature` must not change until the answer.
   *
   * @returns `ok`, or why there is no room now: then `done` is never called.
   * @throws {WeirError} `CLOSED` after `close`.
   */
  submit(key: Uint8Array, message: Uint8Array, signature: Uint8Array, done: VerifyDone): Admission {
    this.#checkOpen()
    // The thread works on a copy of the message.
    const bytes = 2 * message.length
    const admission = this.#account.take(bytes, 1)
    if (admission !== 'ok') return admission
    const object = this.#verifier.admit(key, signature)
    if (object === undefined) {
      queueMicrotask(() => {
        this.#finish(bytes, done, false)
      })
      this.#running++
      return 'ok'
    }
    const job: Job = { key: object, message, signature, bytes, done, next: undefined }
    if (this.#running < this.#runningMax) this.#start(job)
    else if (this.#last === undefined) this.#first = this.#last = job
    else this.#last = this.#last.next = job
    return 'ok'
  }

  /**
   * As `submit`, as a promise.
   *
   * @throws {WeirError} `LIMIT` (retryable) when there is no room, `CLOSED` after `close`.
   */
  verify(key: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const admission = this.submit(key, message, signature, (valid) => {
        if (valid === undefined) reject(closedError())
        else resolve(valid)
      })
      if (admission !== 'ok') reject(limitError(this.#account, admission, 2 * message.length))
    })
  }

  /** Answers waiting jobs with undefined, waits for the running ones, and closes the account. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = Promise.withResolvers()
      let job = this.#first
      this.#first = this.#last = undefined
      for (; job !== undefined; job = job.next) {
        this.#account.give(job.bytes, 1)
        this.#account.exit('closed')
        job.done(undefined)
      }
      this.#endWhenIdle()
    }
    return this.#closing.promise
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #start(job: Job): void {
    this.#running++
    this.#offload(job.key, job.message, job.signature, (valid) => {
      this.#finish(job.bytes, job.done, valid)
    })
  }

  #finish(bytes: number, done: VerifyDone, valid: boolean): void {
    this.#running--
    this.#account.give(bytes, 1)
    this.#account.exit('removed')
    const next = this.#first
    if (next !== undefined && this.#running < this.#runningMax) {
      this.#first = next.next
      if (this.#first === undefined) this.#last = undefined
      this.#start(next)
    }
    try {
      done(valid)
    } finally {
      this.#endWhenIdle()
    }
  }

  #endWhenIdle(): void {
    if (this.#closing === undefined || this.#running > 0 || this.#account.closed) return
    this.#account.give(this.#runningMax * RUNNING_JOB_BYTES)
    this.#account[Symbol.dispose]()
    this.#closing.resolve()
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw closedError()
  }
}

function closedError(): WeirError {
  return new WeirError('CLOSED', 'The verify pool is closed; open the node again.')
}
