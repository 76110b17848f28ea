/** A run of two connections with all that can happen to them, chosen by a seed. */
import assert from 'node:assert/strict'
import { type Random, seededRandom } from '../runtime/index.ts'
import type { Suite } from './contract.ts'
import { writeReset } from './endpoint/stateless.ts'
import type { QuicLimits } from './memory.ts'
import { CID_BYTES } from './packet/header.ts'
import type { QuicSecurity } from './security.ts'
import { World } from './simulation.fixture.ts'
import type { Faults } from './simulation-network.fixture.ts'

const SIZES = [1_200, 1_280, 1_452, 4_096, 9_000, 16_384] as const
const QUIET_US = 120_000_000
/** Resets are answered to datagrams from this length on, as the endpoint does. */
const TRIGGER_BYTES_MIN = 43

export interface Scenario {
  readonly seed: number
  readonly faults: Faults
  readonly mtuMax: number
  readonly pathMtu: number
  /** The path gets narrower at this time after the start; 0 for never. */
  readonly narrowAtUs: number
  /** The client gets another address at these times. */
  readonly movesAtUs: readonly number[]
  readonly stalls: readonly {
    readonly side: 'a' | 'b'
    readonly atUs: number
    readonly us: number
  }[]
  /** The server forgets everything at this time; 0 for never. */
  readonly restartAtUs: number
  readonly streams: number
  readonly streamBytesMax: number
  readonly messages: number
  readonly givenUp: number
  readonly keyUpdatePackets: number
  readonly congestion: 'cubic' | 'new-reno'
  readonly suite: Suite
  /** Caps by bytes, down to less than a datagram; without them there is room for all. */
  readonly caps: Partial<QuicLimits>
}

/** What a run ended with: equal for equal seeds. */
export interface Outcome {
  readonly digest: string
  readonly datagrams: number
  readonly us: number
  readonly lost: number
  readonly blackHoles: number
  readonly moves: number
  readonly keyUpdates: number
  readonly messages: number
  readonly reset: boolean
}

export function scenarioOf(seed: number): Scenario {
  const random = seededRandom(seed * 7_919 + 13)
  const one = <T>(of: readonly T[]) => of[random.below(of.length)]!
  const some = (of: number, most: number) => (random.below(of) === 0 ? random.below(most + 1) : 0)
  const calm = random.below(5) === 0
  return {
    seed,
    faults: {
      lost: calm ? 0 : random.below(130),
      doubled: calm ? 0 : random.below(60),
      damaged: calm ? 0 : random.below(40),
      delayUs: 200 + random.below(one([1_000, 20_000, 80_000])),
      jitterUs: random.below(one([1, 3_000, 40_000])),
    },
    mtuMax: one(SIZES),
    pathMtu: one(SIZES),
    narrowAtUs: random.below(3) === 0 ? 50_000 + random.below(800_000) : 0,
    movesAtUs: list(some(3, 3), () => 20_000 + random.below(2_000_000)),
    stalls: list(some(3, 3), () => ({
      side: one(['a', 'b'] as const),
      atUs: random.below(1_500_000),
      us: 20_000 + random.below(3_000_000),
    })),
    restartAtUs: random.below(10) === 0 ? 5_000 + random.below(400_000) : 0,
    streams: 1 + random.below(7),
    streamBytesMax: one([100, 5_000, 60_000, 120_000]),
    messages: some(2, 60),
    givenUp: one([0, 0, 200]),
    keyUpdatePackets: one([0, 0, 10, 100]),
    congestion: one(['cubic', 'new-reno'] as const),
    suite: one([0x1301, 0x1303] as const),
    caps: random.below(3) === 0 ? capsOf(one) : {},
  }
}

function capsOf(one: <T>(of: readonly T[]) => T): Partial<QuicLimits> {
  return {
    sendBufferBytesMax: one([1_000, 5_000, 131_072]),
    connectionSendBytesMax: one([1_024, 6_000, 40_000, 524_288]),
    sendPoolBytes: one([1_024, 20_000, 4_194_304]),
    recordsBytesMax: one([1_728, 4_096, 131_072]),
    gapBytesMax: one([0, 128, 16_384]),
    ackRangePoolBytes: one([0, 256, 32_768]),
    cryptoPoolBytes: one([0, 1_024, 131_072]),
  }
}

export function simulate(scenario: Scenario, security: QuicSecurity): Outcome {
  const { seed, streams, streamBytesMax, messages, givenUp, congestion, faults } = scenario
  const { keyUpdatePackets, mtuMax } = scenario
  const world = new World({
    ...{ seed, faults, security, streams, streamBytesMax, messages, givenUp, mtuMax },
    limits: { keyUpdatePackets, congestion, ...scenario.caps },
  })
  world.network.mtu = scenario.pathMtu
  plan(world, scenario)
  const { a, b } = world
  if (scenario.restartAtUs > 0) untilReset(world)
  else {
    world.run(() => a.done && b.done)
    // What both have finished and acknowledged is forgotten.
    world.run(() => isQuiet(world), QUIET_US)
    assert.ok(!a.end && !b.end, world.describe())
    const { entries, bytes } = heldOf(world)
    assert.equal(entries, 0, 'streams are left')
    assert.equal(bytes, 0, 'bytes that were sent are left')
  }
  const [statsA, statsB] = [a.machine.stats, b.machine.stats]
  const outcome: Outcome = {
    digest: world.digest(),
    datagrams: world.sent,
    us: world.now,
    lost: statsA.lost + statsB.lost,
    blackHoles: statsA.blackHoles + statsB.blackHoles,
    moves: statsB.moves,
    keyUpdates: statsA.keyUpdates,
    messages: a.messages.size + b.messages.size,
    reset: b.machine.ended,
  }
  world.close()
  return outcome
}

function plan(world: World, scenario: Scenario): void {
  const { random, now, a } = world
  if (scenario.narrowAtUs > 0) {
    world.at(now + scenario.narrowAtUs, () => {
      world.network.mtu = 1_200 + random.below(200)
    })
  }
  for (const [index, at] of scenario.movesAtUs.entries()) {
    world.at(now + at, () => {
      // A server that was not heard of yet would take it for another client.
      if (!a.up || !world.b.up) return
      const host = random.below(2) === 0 ? a.address.host : `10.0.1.${index}`
      a.address = { host, port: 1_000 + index }
    })
  }
  for (const { side, atUs, us } of scenario.stalls) {
    world.at(now + atUs, () => {
      world[side].stalledUntil = world.now + us
    })
  }
}

const isQuiet = ({ a, b }: World): boolean =>
  a.machine.stats.streams + b.machine.stats.streams === 0

function heldOf(world: World): { entries: number; bytes: number } {
  let [entries, bytes] = [0, 0]
  for (const row of world.ledger.rows()) {
    if (row.term.name === 'transport.streams') entries += row.entries
    if (row.term.name === 'quic.send') bytes += row.bytes
  }
  return { entries, bytes }
}

/** The server is started anew: the client hears of it and does not wait for its timeout. */
function untilReset(world: World): void {
  const { a, b } = world
  world.run(() => a.up && b.up)
  b.machine[Symbol.dispose]()
  world.restarted = (bytes) => resetFor(world, bytes, world.random)
  const before = world.now
  world.run(() => a.end !== undefined)
  assert.equal(a.end!.info.by, 'lost')
  const idle = a.end!.info.reason.includes('silent')
  assert.ok(!idle, `after ${world.now - before} us of silence: ${world.describe()}`)
}

function resetFor(world: World, bytes: Uint8Array, random: Random): Uint8Array | undefined {
  if ((bytes[0]! & 0x80) !== 0 || bytes.length < TRIGGER_BYTES_MIN) return undefined
  const id = bytes.subarray(1, 1 + CID_BYTES)
  const issued = world.issued.find(({ id: each }) =>
    each.bytes.every((byte, at) => byte === id[at]),
  )
  if (!issued) return undefined
  const answer = new Uint8Array(100)
  return answer.slice(0, writeReset(answer, issued.id.token, bytes.length, random))
}

const list = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make)
