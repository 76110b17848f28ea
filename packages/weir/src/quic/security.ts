/** All cryptography that an endpoint needs, as one value: the real one, or a toy in tests of other things. */
import { KeyPair, type NodeId } from '../core/index.ts'
import type { PacketSecurity } from './connection/connection-options.ts'
import type { Suite, TlsMachine } from './contract.ts'
import { suitesBySpeed } from './crypto/aead.ts'
import { initialKeys, levelKeys } from './crypto/initial-keys.ts'
import { aeadLimits } from './crypto/packet-keys.ts'
import { isRetryAuthentic, retryTag } from './crypto/retry-tag.ts'
import { TlsClient, TlsServer } from './tls/index.ts'

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

export interface TlsSecurityOptions {
  /** What is offered and taken, in order of preference. Default both, the one that costs less here first. */
  readonly suites?: readonly Suite[]
}

/** TLS 1.3 with raw public keys, and the packet protection of RFC 9001. */
export function tlsSecurity({ suites }: TlsSecurityOptions = {}): QuicSecurity {
  // Asked for when a handshake begins: the answer makes what ChaCha20 needs.
  const preference = () => ({ suites: suites ?? suitesBySpeed() })
  return Object.freeze({
    initialKeys,
    levelKeys,
    limits: aeadLimits,
    isRetryAuthentic,
    retryTag,
    client: ({ keyPair, ...rest }: Parameters<QuicSecurity['client']>[0]) =>
      new TlsClient({ ...rest, ...preference(), keyPair: signing(keyPair) }),
    server: ({ keyPair, ...rest }: Parameters<QuicSecurity['server']>[0]) =>
      new TlsServer({ ...rest, ...preference(), keyPair: signing(keyPair) }),
  })
}

/** A pair that only gives its seed costs a native key for each handshake; ours signs by itself. */
function signing(keyPair: Pick<KeyPair, 'id' | 'seed'>): KeyPair {
  return keyPair instanceof KeyPair ? keyPair : KeyPair.fromSeed(keyPair.seed())
}
