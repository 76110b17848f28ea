/** What the conformance tests share: a pair of endpoints under one ledger, and small steps on streams. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { KeyPair } from '../core/index.ts'
import { type Counters, isWeirError, type Scope, type WeirError } from '../runtime/index.ts'
import { FixedAddresses } from './addresses.ts'
import { StreamError } from './errors.ts'
import type { PlannedTransport, Transport } from './load.ts'
import type { TransportLimits } from './memory.ts'
import type { Address, BiStream, Connection, Endpoint, Incoming, RecvStream } from './transport.ts'

export interface Traits {
  /** A writer must wait at the latest when so many bytes of one stream were not read. */
  readonly unreadBytesMax: number
  /** Whether limits on streams are those of the plan, or the backend's own. */
  readonly ownStreamLimits: boolean
  /** Throws garbage at the address of an endpoint. */
  garbage?(address: Address): Promise<void>
}

export const TEST_PROTOCOL = new Uint8Array(32).fill(7)
/** Long enough for anything that could go wrong in between to go wrong; nothing is expected to happen. */
export const QUIET_MS = 60

export interface Pair {
  readonly a: Endpoint
  readonly b: Endpoint
  readonly ledger: Ledger
  readonly scope: Scope
  readonly counters: Counters
  readonly planned: PlannedTransport
  /** A connection that a dials and b accepts: both ends. */
  connect(): Promise<[Connection, Connection]>
}

/** Registers a test of a transport. */
export type Check = (
  what: string,
  run: (pair: Pair) => Promise<void>,
  limits?: Partial<TransportLimits>,
) => void

export const checkOf =
  (transport: Transport): Check =>
  (what, run, limits = {}) => {
    test(`${transport.name}: ${what}`, () => withPair(transport, limits, run))
  }

async function withPair(
  transport: Transport,
  limits: Partial<TransportLimits>,
  run: (pair: Pair) => Promise<void>,
): Promise<void> {
  const planned = transport.plan({ ...limits, endpointsMax: 3 })
  await withLedger(planned.terms, async (ledger, scope, { counters }) => {
    const open = () =>
      planned.open({
        scope,
        ledger,
        keyPair: KeyPair.generate(),
        lookup: new FixedAddresses([]),
        protocols: [TEST_PROTOCOL],
        listen: '127.0.0.1:0',
      })
    const [a, b] = [await open(), await open()]
    const connect = async (): Promise<[Connection, Connection]> => {
      const dial = a.connect(b.nodeId, TEST_PROTOCOL, { addresses: b.localAddresses })
      return Promise.all([dial, nextIncoming(b).then((incoming) => incoming.accept())])
    }
    await run({ a, b, ledger, scope, counters, planned, connect })
    await a.close()
    await b.close()
  })
}

/** The next one that is asked for; the iteration is left, which must not lose the ones after it. */
export async function nextIncoming(endpoint: Endpoint): Promise<Incoming> {
  for await (const incoming of endpoint.incoming) return incoming
  throw new Error('the endpoint closed')
}

/** A stream from the first end to the second, made known by its first bytes. */
export async function biStream(
  [from, to]: readonly [Connection, Connection],
  first: Uint8Array,
): Promise<[BiStream, BiStream]> {
  const mine = await from.openBi()
  await mine.send.write(first)
  return [mine, await to.acceptBi()]
}

export const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** Bytes that differ at every distance that a mistake in a ring could make. */
export function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >>> 8) * 7 + (at >>> 16)) & 255
  return bytes
}

export async function readAll(stream: RecvStream): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const bytes of stream) parts.push(bytes)
  return Buffer.concat(parts).toString()
}

/** Exactly so many bytes. */
export async function readBytes(stream: RecvStream, length: number): Promise<Uint8Array> {
  const whole = new Uint8Array(length)
  for (let at = 0; at < length; ) {
    const bytes = await stream.read(Math.min(length - at, 65_536))
    assert.ok(bytes, `the stream ended after ${at} of ${length} bytes`)
    whole.set(bytes, at)
    at += bytes.length
  }
  return whole
}

export function bothWays([a, b]: readonly [Connection, Connection]): readonly [
  Connection,
  Connection,
][] {
  return [
    [a, b],
    [b, a],
  ]
}

/** The peer's stop takes its way; until then writes may succeed. */
export async function writeUntilFailure(stream: BiStream): Promise<void> {
  for (let round = 0; round < 1_000; round++) {
    await stream.send.write(text('more'))
    await sleep(1)
  }
}

export async function dialFails(from: Endpoint, to: Endpoint, code: string): Promise<WeirError> {
  try {
    await from.connect(to.nodeId, TEST_PROTOCOL, { addresses: to.localAddresses })
  } catch (error) {
    assert.ok(isWeirError(error, code), String(error))
    return error
  }
  throw new assert.AssertionError({ message: 'the dial succeeded' })
}

/** Tries again while a limit stands in the way: the peer learns of a close a little later. */
export async function settled<T>(run: () => Promise<T>): Promise<T> {
  for (let round = 0; round < 100; round++) {
    try {
      return await run()
    } catch (error) {
      if (!isWeirError(error, 'LIMIT')) throw error
      await sleep(5)
    }
  }
  return run()
}

export const coded = (code: string) => (error: unknown) => {
  assert.ok(isWeirError(error, code), `${code} was expected: ${error}`)
  return true
}

export const streamError = (code: string, streamCode: number) => (error: unknown) => {
  assert.ok(error instanceof StreamError, String(error))
  assert.deepEqual([error.code, error.streamCode], [code, streamCode])
  return true
}
