/**
 * Reads a body chunk by chunk, waiting for the reader between chunks, so that the sender is held back and not our
 * memory. Ends with an error when the sender is silent for too long; time in which the reader works does not count.
 *
 * Memory: what node:http reads ahead, at most 64 KiB, which the term of the stream plans.
 */
import type { IncomingMessage } from 'node:http'
import { abortError, type Clock, msBetween, onAbort, type Timer } from 'weir-mesh/runtime'
import { KubeError, unreachable } from './errors.ts'

export interface ReadChunksOptions {
  readonly clock: Clock
  readonly scopeSignal: AbortSignal
  readonly signal?: AbortSignal | undefined
  /** How long the sender may be silent now; asked again after each chunk. */
  silenceMs(): number
  /** All of the body must come within this time. Default: no limit. */
  readonly totalMs?: number
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
  const startedAt = clock.now()
  let lastAt = startedAt
  let timer: Timer | undefined
  const stop = (why: Error) => {
    reason ??= why
    answer.destroy()
  }
  // One timer that looks at a time stamp: starting one per chunk would cost more than the chunk.
  const look = () => {
    const limitMs = options.silenceMs()
    const silentMs = waiting ? msBetween(lastAt, clock.now()) : 0
    const { totalMs } = options
    if (silentMs >= limitMs) stop(silent(limitMs))
    else if (totalMs !== undefined && msBetween(startedAt, clock.now()) >= totalMs) {
      stop(late(totalMs))
    } else timer = clock.start(Math.min(Math.max(limitMs - silentMs, 10), LOOK_MS_MAX), look)
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
