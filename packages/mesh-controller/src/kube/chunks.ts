/**
 * Reads a body chunk by chunk, waiting for the reader between chunks, so that the sender is held back and not our
 * memory. Ends with an error when the sender is silent for too long; time in which the reader works does not count.
 *
 * Memory: what node:http reads ahead, at most 64 KiB, which the term of the stream plans.
 */
import type { IncomingMessage } from 'node:http'
import { abortError, type Clock, msBetween, onAbort, type Timer } from 'weir-mesh/runtime'
import { KubeError, unreachable } from './errors.ts'

interface ReadOptions {
  readonly clock: Clock
  readonly scopeSignal: AbortSignal
  readonly signal?: AbortSignal | undefined
}

export interface ReadBodyOptions extends ReadOptions {
  /** All of the body must come within this time. */
  readonly totalMs: number
  /** Whoever cannot take a chunk throws. */
  onChunk(chunk: Buffer): void
}

export interface ReadChunksOptions extends ReadOptions {
  /** How long the sender may be silent now; asked again after each chunk. */
  silenceMs(): number
  onChunk(chunk: Buffer): Promise<void> | void
}

// The limit may shrink while nothing comes, so it is looked at again at least this often.
const LOOK_MS_MAX = 2_000

/**
 * Resolves when the body has ended in an orderly way.
 *
 * @throws {KubeError} `KUBE_SILENT`, `KUBE_UNREACHABLE`; what `onChunk` throws; `CLOSED` when aborted.
 */
export async function readChunks(
  answer: IncomingMessage,
  options: ReadChunksOptions,
): Promise<void> {
  const { clock } = options
  let reason: Error | undefined
  let waiting = true
  let lastAt = clock.now()
  let timer: Timer | undefined
  const stop = (why: Error) => {
    reason ??= why
    answer.destroy()
  }
  // One timer that looks at a time stamp: starting one per chunk would cost more than the chunk.
  const look = () => {
    const limitMs = options.silenceMs()
    const silentMs = waiting ? msBetween(lastAt, clock.now()) : 0
    if (silentMs >= limitMs) stop(silent(limitMs))
    else timer = clock.start(Math.min(Math.max(limitMs - silentMs, 10), LOOK_MS_MAX), look)
  }
  look()
  const closed = onAbort(options.scopeSignal, () => stop(abortError(options.scopeSignal)))
  const aborted = onAbort(options.signal, () => stop(abortError(options.signal as AbortSignal)))
  try {
    const chunks = answer[Symbol.asyncIterator]()
    while (true) {
      const chunk = await nextChunk(chunks, () => reason)
      if (chunk === undefined) break
      waiting = false
      const result = options.onChunk(chunk)
      if (result) await result
      if (reason !== undefined) throw reason
      waiting = true
      lastAt = clock.now()
    }
    if (reason !== undefined) throw reason
  } finally {
    timer?.cancel()
    closed[Symbol.dispose]()
    aborted[Symbol.dispose]()
    if (!answer.complete) answer.destroy()
  }
}

/**
 * Reads a short body, as it comes: an iterator over it would cost more than the body. The reader is never waited for.
 *
 * @throws {KubeError} `KUBE_TIMEOUT`, `KUBE_UNREACHABLE`; what `onChunk` throws; `CLOSED` when aborted.
 */
export function readBody(answer: IncomingMessage, options: ReadBodyOptions): Promise<void> {
  const { clock, scopeSignal, signal, totalMs, onChunk } = options
  return new Promise((resolve, reject) => {
    let over = false
    const end = (error?: Error) => {
      if (over) return
      over = true
      release()
      answer.off('data', take)
      if (!error) return resolve()
      answer.destroy()
      reject(error)
    }
    const take = (chunk: Buffer) => {
      try {
        onChunk(chunk)
      } catch (error) {
        end(error as Error)
      }
    }
    const broken = (error?: unknown) => {
      if (!over) end(unreachable('reading an answer', error))
    }
    const timer = clock.start(totalMs, () => end(late(totalMs)))
    let closed: Disposable | undefined
    let aborted: Disposable | undefined
    const release = () => {
      timer.cancel()
      closed?.[Symbol.dispose]()
      aborted?.[Symbol.dispose]()
    }
    closed = onAbort(scopeSignal, () => end(abortError(scopeSignal)))
    aborted = onAbort(signal, () => end(abortError(signal as AbortSignal)))
    answer.on('error', broken)
    // One that breaks off before anybody reads it says so by no error.
    answer.once('close', () => broken())
    answer.once('end', () => end())
    answer.on('data', take)
    if (answer.destroyed) broken(answer.errored ?? undefined)
    if (over) release()
  })
}

async function nextChunk(
  chunks: AsyncIterator<Buffer>,
  reason: () => Error | undefined,
): Promise<Buffer | undefined> {
  try {
    const next = await chunks.next()
    return next.done ? undefined : next.value
  } catch (error) {
    throw reason() ?? unreachable('reading an answer', error)
  }
}

function silent(limitMs: number): KubeError {
  return new KubeError('KUBE_SILENT', `the cluster sent nothing for ${Math.round(limitMs)} ms`, {
    retryable: true,
  })
}

function late(limitMs: number): KubeError {
  return new KubeError('KUBE_TIMEOUT', `an answer did not end within ${Math.round(limitMs)} ms`, {
    retryable: true,
  })
}
