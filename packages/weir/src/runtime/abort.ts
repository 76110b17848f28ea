/**
 * Waiting with a way out. `AbortSignal.any` and `Promise.race` against something long-lived keep memory for each
 * call (1.1 kB and 0.3 kB, measured on Node 20 to 26), so the way out is a listener that is taken off again.
 */
import type { Clock } from './clock.ts'
import { WeirError } from './errors.ts'

/** Throws the reason of an aborted signal. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal)
}

/** The reason of a signal when it is one of ours, else a `CLOSED` error around it. */
export function abortError(signal: AbortSignal): Error {
  if (signal.reason instanceof WeirError) return signal.reason
  return new WeirError('CLOSED', 'the operation was aborted', { cause: signal.reason })
}

/** Calls `abort` once when the signal is aborted (at once when it already is); disposing takes the listener off. */
export function onAbort(signal: AbortSignal | undefined, abort: () => void): Disposable {
  if (!signal) return { [Symbol.dispose]() {} }
  if (signal.aborted) {
    abort()
    return { [Symbol.dispose]() {} }
  }
  // A function of its own for each call: a target keeps one listener per function, so two callers who pass the same
  // one would share it, and the first to leave would take it away from the other.
  const listener = () => abort()
  signal.addEventListener('abort', listener, { once: true })
  return { [Symbol.dispose]: () => signal.removeEventListener('abort', listener) }
}

/** Settles as `promise` does, or rejects when the signal is aborted first. The promise itself goes on. */
export async function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (!signal) return promise
  return new Promise<T>((resolve, reject) => {
    const listener = onAbort(signal, () => reject(abortError(signal)))
    promise.then(
      (value) => {
        listener[Symbol.dispose]()
        resolve(value)
      },
      (error) => {
        listener[Symbol.dispose]()
        reject(error)
      },
    )
  })
}

/**
 * Settles as `promise` does, or rejects with `TIMEOUT` after `ms`.
 *
 * @throws {WeirError} `TIMEOUT`, retryable, naming `what`.
 */
export async function withTimeout<T>(
  promise: Promise<T>,
  ms: number,
  what: string,
  clock: Clock,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = clock.start(ms, () =>
      reject(new WeirError('TIMEOUT', `${what} took longer than ${ms} ms`, { retryable: true })),
    )
    promise.then(
      (value) => {
        timer.cancel()
        resolve(value)
      },
      (error) => {
        timer.cancel()
        reject(error)
      },
    )
  })
}
