/**
 * Reads a long body chunk by chunk, waiting for the reader between chunks, so that the sender is held back and not our
 * memory. Ends with an error when the sender is silent for too long; time in which the reader works does not count.
 *
 * Memory: one chunk, and what `StreamedBody` read ahead, which the term of the stream plans.
 */
import { abortError, type Clock, msBetween, onAbort, type Timer } from 'weir-mesh/runtime'
import { KubeError } from './errors.ts'
import type { StreamedBody } from './streamed-body.ts'

export interface ReadChunksOptions {
  readonly clock: Clock
  readonly scopeSignal: AbortSignal
  readonly signal?: AbortSignal | undefined
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
export async function readChunks(body: StreamedBody, options: ReadChunksOptions): Promise<void> {
  const { clock } = options
  let reason: Error | undefined
  let waiting = true
  let lastAt = clock.now()
  let timer: Timer | undefined
  const stop = (why: Error) => {
    reason ??= why
    body.destroy(why)
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
    for (let chunk = await body.next(); chunk; chunk = await body.next()) {
      waiting = false
      const result = options.onChunk(chunk)
      if (result) await result
      if (reason !== undefined) throw reason
      waiting = true
      lastAt = clock.now()
    }
  } catch (error) {
    throw reason ?? error
  } finally {
    timer?.cancel()
    closed[Symbol.dispose]()
    aborted[Symbol.dispose]()
    body.destroy(reason ?? new KubeError('CLOSED', 'the body is not read any more'))
  }
}

function silent(limitMs: number): KubeError {
  return new KubeError('KUBE_SILENT', `the cluster sent nothing for ${Math.round(limitMs)} ms`, {
    retryable: true,
  })
}
