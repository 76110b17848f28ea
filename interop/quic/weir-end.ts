/**
 * Our end of an interop test: one QUIC endpoint under a ledger, with a tap on its packets, and what it does on streams.
 * Both ends hash what they send and what they get.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Ledger } from 'weir-mesh/bounds'
import { toHex } from 'weir-mesh/codec'
import { KeyPair, type NodeId } from 'weir-mesh/core'
import type { Counters } from 'weir-mesh/runtime'
import {
  type Address,
  type BiStream,
  type Connection,
  type Endpoint,
  FixedAddresses,
  type Incoming,
  type RecvStream,
  type SendStream,
} from 'weir-mesh/transport'
import type { ConnectionMachine } from '../../packages/weir/src/quic/connection-machine.ts'
import type { Suite } from '../../packages/weir/src/quic/contract.ts'
import type { QuicLimits } from '../../packages/weir/src/quic/memory.ts'
import { type QuicSecurity, tlsSecurity } from '../../packages/weir/src/quic/security.ts'
import { quicTransportOf } from '../../packages/weir/src/quic/transport.ts'
import { withLedger } from '../../packages/weir/testing/index.ts'
import { broken, type Fault } from './broken-tls.ts'
import { Tap } from './tap.ts'

/** The protocol of all tests; the peers get it as `--alpn`. */
export const PROTOCOL = new Uint8Array(32).fill(7)
export const PROTOCOL_HEX = toHex(PROTOCOL)

const BLOCK_BYTES = 64 * 1024

export interface WeirOptions {
  /** The only cipher suite that we know. Default: both. */
  readonly suite?: Suite
  readonly fault?: Fault
  readonly limits?: Partial<QuicLimits>
  /** Default 10 000. */
  readonly connectTimeoutMs?: number
  /** Default: one of its own. */
  readonly keyPair?: KeyPair
  /** Default `127.0.0.1:0`. */
  readonly listen?: Address
}

export interface Weir {
  readonly endpoint: Endpoint
  readonly nodeId: NodeId
  readonly address: Address
  readonly tap: Tap
  readonly ledger: Ledger
  readonly counters: Counters
  dial(node: NodeId, address: Address, protocol?: Uint8Array): Promise<Connection>
  /** The next one that asks. */
  incoming(): Promise<Incoming>
}

/** Runs a test with an endpoint of ours; afterwards nothing is left. */
export async function withWeir(
  options: WeirOptions,
  run: (weir: Weir) => Promise<void>,
): Promise<void> {
  const tap = new Tap(securityOf(options))
  const planned = quicTransportOf(tap.security, options.limits ?? {}).plan({
    endpointsMax: 1,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
  })
  await withLedger(planned.terms, async (ledger, scope, { counters }) => {
    const keyPair = options.keyPair ?? KeyPair.generate()
    const endpoint = await planned.open({
      ...{ scope, ledger, keyPair, protocols: [PROTOCOL] },
      lookup: new FixedAddresses([]),
      listen: options.listen ?? '127.0.0.1:0',
    })
    try {
      await run({
        ...{ endpoint, nodeId: keyPair.id, address: endpoint.localAddresses[0]! },
        ...{ tap, ledger, counters },
        dial: (node, address, protocol = PROTOCOL) =>
          endpoint.connect(node, protocol, { addresses: [address] }),
        incoming: () => nextIncoming(endpoint),
      })
    } catch (error) {
      if (error instanceof Error) error.message += `\nlast packets:\n${tap.story()}`
      throw error
    }
    await endpoint.close()
  })
}

function securityOf({ suite, fault }: WeirOptions): QuicSecurity {
  const real = tlsSecurity(suite === undefined ? {} : { suites: [suite] })
  return fault ? broken(real, fault) : real
}

async function nextIncoming(endpoint: Endpoint): Promise<Incoming> {
  for await (const incoming of endpoint.incoming) return incoming
  throw new Error('the endpoint closed')
}

/** What the machine under one of our connections counts. */
export function statsOf(connection: Connection): ConnectionMachine['stats'] {
  return (connection as unknown as { readonly machine: ConnectionMachine }).machine.stats
}

/** Opens a unidirectional stream. @returns the hash of what was written to it */
export async function send(connection: Connection, bytes: number): Promise<string> {
  const stream = await connection.openUni()
  const hash = await writeHashed(stream, bytes)
  await stream.finish()
  return hash
}

/** Takes the next unidirectional stream to its end. */
export async function receive(connection: Connection): Promise<{ bytes: number; hash: string }> {
  return readHashed(await connection.acceptUni())
}

/** Sends on a bidirectional stream and reads what comes back, both at once. */
export async function talk(connection: Connection, bytes: number) {
  const stream = await connection.openBi()
  const writing = writeHashed(stream.send, bytes).then(async (hash) => {
    await stream.send.finish()
    return hash
  })
  const [sent, back] = await Promise.all([writing, readHashed(stream.receive)])
  return { sent, ...back }
}

/** Sends back what comes on the next bidirectional stream. */
export async function echo(connection: Connection): Promise<void> {
  await echoOn(await connection.acceptBi())
}

async function echoOn({ send, receive }: BiStream): Promise<void> {
  for await (const part of receive) await send.write(part)
  await send.finish()
}

async function writeHashed(stream: SendStream, bytes: number): Promise<string> {
  const hash = createHash('sha256')
  const block = new Uint8Array(BLOCK_BYTES)
  for (let at = 0; at < BLOCK_BYTES; at++) block[at] = (at * 31 + (at >>> 8) * 7) & 255
  const head = new DataView(block.buffer)
  for (let left = bytes; left > 0; left -= BLOCK_BYTES) {
    // No two blocks are alike, so that one in the wrong place is noticed.
    head.setFloat64(0, left)
    const part = block.subarray(0, Math.min(left, BLOCK_BYTES))
    hash.update(part)
    await stream.write(part)
  }
  return hash.digest('hex')
}

async function readHashed(stream: RecvStream): Promise<{ bytes: number; hash: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  for (;;) {
    const part = await stream.read(BLOCK_BYTES)
    if (!part) return { bytes, hash: hash.digest('hex') }
    hash.update(part)
    bytes += part.length
  }
}

/** The same bytes at both ends, and not none. */
export function assertSame(
  one: { readonly bytes?: number; readonly hash?: string | undefined },
  bytes: number,
  hash: string,
): void {
  assert.equal(one.bytes, bytes)
  assert.equal(one.hash, hash)
}
