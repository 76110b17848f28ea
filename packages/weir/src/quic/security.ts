/** All cryptography that an endpoint needs, as one value: the real one, or a toy in tests of other things. */
import type { KeyPair, NodeId } from '../core/index.ts'
import type { PacketSecurity } from './connection/connection-options.ts'
import type { TlsMachine } from './contract.ts'

export interface QuicSecurity extends PacketSecurity {
  retryTag(originalDestination: Uint8Array, packet: Uint8Array): Uint8Array
  client(options: {
    readonly keyPair: Pick<KeyPair, 'id' | 'seed'>
    readonly expected: NodeId
    readonly protocol: Uint8Array
    readonly parameters: Uint8Array
  }): TlsMachine
  server(options: {
    readonly keyPair: Pick<KeyPair, 'id' | 'seed'>
    readonly protocols: readonly Uint8Array[]
    readonly parameters: Uint8Array
  }): TlsMachine
}
