/**
 * Whether connections that come and go, or incomings that nobody decides on, leave anything on the heap: rounds of them,
 * the live heap after each, and the trend over the rounds (Theil-Sen). Short in the tests, at length in
 * `tests/quic-slopes.ts`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { getHeapSpaceStatistics } from 'node:v8'
import { type Point, type Trend, theilSen } from '../../testing/index.ts'
import { forceCollection, Ledger, planMemory } from '../bounds/index.ts'
import { KeyPair } from '../core/index.ts'
import { Counters, Scope } from '../runtime/index.ts'
import {
  type Connection,
  type Endpoint,
  FixedAddresses,
  type TransportLimits,
} from '../transport/index.ts'
import { eventually, PROTOCOL, Stranger, spoofedInitial } from './endpoint.fixture.ts'
import type { QuicSecurity } from './security.ts'
import { toySecurity } from './toy-tls.fixture.ts'
import { quicTransportOf } from './transport.ts'

export interface Rounds {
  readonly rounds: number
  readonly perRound: number
  /** Rounds before those that count, in which V8 compiles what it keeps. */
  readonly warmUp: number
  /** Called before each round with its number, and after the last one. */
  readonly between?: (round: number) => Promise<void>
  readonly say?: (text: string) => void
}

const CALLERS = 8

/** Without the log and the lines of `withLedger`, which are kept for each test. */
async function withEndpoints(
  limits: Partial<TransportLimits>,
  security: QuicSecurity,
  run: (a: Endpoint, b: Endpoint, ledger: Ledger, counters: Counters) => Promise<void>,
): Promise<void> {
  const planned = quicTransportOf(security).plan({ endpointsMax: 2, ...limits })
  const ledger = new Ledger(planMemory(planned.terms, { limitBytes: Number.MAX_SAFE_INTEGER }))
  const counters = new Counters()
  const scope = new Scope('slopes', { counters })
  const open = () =>
    planned.open({
      ...{ scope, ledger, keyPair: KeyPair.generate(), protocols: [PROTOCOL] },
      lookup: new FixedAddresses([]),
    })
  await run(await open(), await open(), ledger, counters)
  await scope.close()
  ledger.assertEmpty()
}

/** Bytes of heap for each connection that was made and closed. */
export async function connectSlope(options: Rounds, security: QuicSecurity): Promise<Trend> {
  let trend: Trend | undefined
  const limits = { connectionsMax: 32, incomingMax: 32 }
  await withEndpoints(limits, security, async (a, b, ledger) => {
    void (async () => {
      for await (const incoming of b.incoming) void incoming.accept().then(refuseStreams, () => {})
    })()
    const addresses = b.localAddresses
    const before = ledger.costBytes
    trend = await measured(options, async () => {
      let left = options.perRound
      const caller = async () => {
        while (left-- > 0) {
          const out = await a.connect(b.nodeId, PROTOCOL, { addresses })
          // Closed when the other end is up and has said so.
          const send = await out.openUni()
          await send.write(PROTOCOL)
          await send.stopped
          out.close()
        }
      }
      await Promise.all(Array.from({ length: CALLERS }, caller))
      await eventually('all are closed', () => ledger.costBytes === before)
    })
  })
  return trend!
}

/** Stops the first stream, by which its peer knows that it was accepted. */
async function refuseStreams(connection: Connection): Promise<void> {
  const stream = await connection.acceptUni().catch(() => undefined)
  stream?.stop(1)
}

/** Bytes of heap for each incoming that was taken, forgotten and ended by its deadline. */
export async function droppedSlope(options: Rounds): Promise<Trend & { readonly expired: number }> {
  let trend: Trend | undefined
  let expired = 0
  const limits = { incomingMax: 512, incomingBytesMax: 2 ** 20, incomingDeadlineMs: 40 }
  await withEndpoints(limits, toySecurity(), async (_, b, ledger, counters) => {
    const undecided = () =>
      [...ledger.rows()].find(({ term }) => term.name === 'transport.incoming')!.entries
    void (async () => {
      for await (const _ of b.incoming);
    })()
    await using stranger = await Stranger.open()
    let seed = 0
    trend = await measured(options, async () => {
      const ended = () => counters.value('transport_incoming_expired_total')
      const until = ended() + options.perRound
      while (ended() < until) {
        await stranger.send(spoofedInitial(seed++), b.localAddresses[0]!)
        if (undecided() > 200) await sleep(5)
      }
      await eventually('all are over', () => undecided() === 0)
      stranger.received.length = 0
    })
    expired = counters.value('transport_incoming_expired_total')
  })
  return { ...trend!, expired }
}

async function measured(
  { rounds, perRound, warmUp, between, say = () => {} }: Rounds,
  round: () => Promise<void>,
): Promise<Trend> {
  // Made before they are measured: a point for each round would be a slope of its own.
  const heaps = new Float64Array(rounds)
  for (let index = 0; index < warmUp + rounds; index++) {
    await between?.(index)
    await round()
    const bytes = await liveHeap()
    say(`${index < warmUp ? 'warm-up' : `round ${index - warmUp + 1}`}: ${bytes} bytes`)
    if (index >= warmUp) heaps[index - warmUp] = bytes
  }
  await between?.(warmUp + rounds)
  return theilSen(Array.from(heaps, (y, index): Point => ({ x: index * perRound, y })))
}

async function liveHeap(): Promise<number> {
  for (let turn = 0; turn < 3; turn++) {
    forceCollection()
    await sleep(10)
  }
  let bytes = process.memoryUsage().external
  // Code that V8 compiles late is not what connections leave.
  for (const space of getHeapSpaceStatistics()) {
    if (!/code|trusted|read_only/.test(space.space_name)) bytes += space.space_used_size
  }
  return bytes
}
