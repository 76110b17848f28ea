/**
 * Packet keys around others, for tests: hands everything on. What looks at packets or changes them overrides that.
 *
 * Memory: nothing beside the keys below.
 */
import type { PacketKeys, Suite } from './contract.ts'

export abstract class WrappedKeys implements PacketKeys {
  readonly #real: PacketKeys

  constructor(real: PacketKeys) {
    this.#real = real
  }

  /** The same around the keys of the next phase. */
  protected abstract wrap(next: PacketKeys): PacketKeys

  get suite(): Suite {
    return this.#real.suite
  }

  seal(...packet: Parameters<PacketKeys['seal']>): number {
    return this.#real.seal(...packet)
  }

  unmask(buffer: Uint8Array, start: number, packetNumberOffset: number): number {
    return this.#real.unmask(buffer, start, packetNumberOffset)
  }

  open(...packet: Parameters<PacketKeys['open']>): number {
    return this.#real.open(...packet)
  }

  next(): PacketKeys {
    return this.wrap(this.#real.next())
  }

  [Symbol.dispose](): void {
    this.#real[Symbol.dispose]()
  }
}
