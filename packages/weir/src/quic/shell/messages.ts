/**
 * Unreliable messages of a connection (RFC 9221) as the program sees them.
 *
 * Memory: the queues are the machine's; here waits one call at most.
 */
import { abortError, assert, onAbort, throwIfAborted } from '../../runtime/index.ts'
import type { Datagrams } from '../../transport/index.ts'
import type { ConnectionMachine } from '../connection-machine.ts'

/** What it needs of its connection. */
export interface MessageOwner {
  readonly machine: Pick<ConnectionMachine, 'datagramBytesMax' | 'sendDatagram' | 'readDatagram'>
  /** Why nothing comes any more. */
  readonly failure: Error | undefined
  /** There is something to send. */
  touch(): void
}

export class Messages implements Datagrams {
  readonly #owner: MessageOwner
  #waiter: { resolve(bytes: Uint8Array): void; reject(error: Error): void } | undefined

  constructor(owner: MessageOwner) {
    this.#owner = owner
  }

  /** The longest message that can be sent now; it grows and shrinks with the path. */
  get bytesMax(): number {
    return this.#owner.machine.datagramBytesMax
  }

  send(bytes: Uint8Array): boolean {
    const taken = this.#owner.machine.sendDatagram(bytes)
    if (taken) this.#owner.touch()
    return taken
  }

  async receive({ signal }: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array> {
    throwIfAborted(signal)
    const { failure, machine } = this.#owner
    if (failure) throw failure
    const bytes = machine.readDatagram()
    if (bytes) return bytes
    assert(!this.#waiter, 'one call receives at a time')
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    this.#waiter = { resolve, reject }
    // Gone at once, and not a turn later, when it may be that of the next call.
    const listener = onAbort(signal, () => {
      this.#waiter = undefined
      reject(abortError(signal!))
    })
    try {
      return await promise
    } finally {
      listener[Symbol.dispose]()
    }
  }

  /** One has come. */
  advance(): void {
    const waiter = this.#waiter
    const bytes = waiter && this.#owner.machine.readDatagram()
    if (!bytes) return
    this.#waiter = undefined
    waiter.resolve(bytes)
  }

  end(error: Error): void {
    this.#waiter?.reject(error)
    this.#waiter = undefined
  }
}
