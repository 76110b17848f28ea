/**
 * What is fed with mutated bytes, by the tests over the corpus in `vectors/quic-corpus.txt` and by `tests/quic-fuzz.ts`,
 * which looks for inputs that reach new code. A target must neither throw nor keep anything.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ledger, planMemory } from '../bounds/index.ts'
import { instant, type Random, seededRandom, systemClock } from '../runtime/index.ts'
import { transportLimits } from '../transport/index.ts'
import { type Candidate, EndpointMachine } from './endpoint/endpoint-machine.ts'
import { mutatedScript } from './fuzz-script.fixture.ts'
import { quicLimits, quicTerms } from './memory.ts'
import { decodeParameters } from './packet/parameters.ts'
import { SealedPair } from './sealed-fuzz.fixture.ts'
import { World } from './simulation.fixture.ts'
import { toySecurity } from './toy-tls.fixture.ts'

export const CORPUS = join(import.meta.dirname, '../../vectors/quic-corpus.txt')

export interface FuzzInput {
  readonly target: TargetName
  readonly bytes: Uint8Array
}

/** The last two are a client and a server whose peer means ill and holds the keys. */
export type TargetName = 'datagram' | 'frames' | 'parameters' | 'client' | 'server'

export interface FuzzTarget extends Disposable {
  run(bytes: Uint8Array): void
}

/** Whole datagrams to an endpoint that knows nobody. */
class Datagrams implements FuzzTarget {
  readonly #machine: EndpointMachine
  readonly #ledger: Ledger
  readonly #candidates: Candidate[] = []

  constructor() {
    const terms = quicTerms(quicLimits(transportLimits()))
    const options = { limitBytes: Number.MAX_SAFE_INTEGER }
    this.#ledger = new Ledger(planMemory(Object.values(terms), options), { assertLeaks: true })
    const key = new Uint8Array(32).fill(1)
    this.#machine = new EndpointMachine({
      ...{ security: toySecurity(), random: seededRandom(1), clock: systemClock },
      ...{ resetKey: key, tokenKey: key, buffer: new Uint8Array(1_500), incomingDatagramsMax: 4 },
      accounts: {
        routes: this.#ledger.require(terms.routes),
        initials: this.#ledger.require(terms.initials),
        farewells: this.#ledger.require(terms.farewells),
        resetTokens: this.#ledger.require(terms.resetTokens),
      },
    })
  }

  run(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    const effects = {
      send: () => {},
      candidate: (candidate: Candidate) => this.#candidates.push(candidate) > 0,
      crowded: () => this.#candidates.length > 4,
      more: () => true,
      connections: () => [],
    }
    // From the lengths of Initials up: shorter ones are not looked at.
    const datagram = new Uint8Array(Math.max(bytes.length, (bytes[0]! & 0x80) !== 0 ? 1_200 : 0))
    datagram.set(bytes)
    this.#machine.receive(datagram, { host: '10.0.0.1', port: 9 }, instant(1), effects)
    if (this.#candidates.length <= 8) return
    for (const candidate of this.#candidates.splice(0)) this.#machine.refuse(candidate, effects)
  }

  [Symbol.dispose](): void {
    this.#machine[Symbol.dispose]()
    this.#ledger.assertEmpty()
  }
}

/** Frames in packets that are authentic, to a connection that is up. */
class Frames implements FuzzTarget {
  #world: World | undefined
  #runs = 0

  run(bytes: Uint8Array): void {
    if (this.#world?.b.end || ++this.#runs % 64 === 0) this[Symbol.dispose]()
    this.#world ??= connected()
    const { b } = this.#world
    this.#world.forge(b, bytes.subarray(0, 1_100))
    if (!b.end) b.machine.flush(instant(this.#world.now), b)
  }

  [Symbol.dispose](): void {
    this.#world?.close()
    this.#world = undefined
  }
}

class Parameters implements FuzzTarget {
  run(bytes: Uint8Array): void {
    decodeParameters(bytes, true)
    decodeParameters(bytes, false)
  }

  [Symbol.dispose](): void {}
}

export function openTarget(name: TargetName): FuzzTarget {
  if (name === 'datagram') return new Datagrams()
  if (name === 'frames') return new Frames()
  return name === 'parameters' ? new Parameters() : new SealedPair(name)
}

export const TARGETS: readonly TargetName[] = Object.freeze([
  ...(['datagram', 'frames', 'parameters', 'client', 'server'] as const),
])

/** Another input for a target near one of its inputs. */
export function near(
  name: TargetName,
  bytes: Uint8Array,
  other: Uint8Array,
  random: Random,
): Uint8Array {
  const scripted = name === 'client' || name === 'server'
  return scripted ? mutatedScript(bytes, other, random) : mutated(bytes, other, random)
}

function connected(): World {
  const faults = { lost: 0, doubled: 0, damaged: 0, delayUs: 500, jitterUs: 0 }
  const world = new World({ seed: 1, faults, security: toySecurity(), streams: 0 })
  world.run(() => world.a.up && world.b.up)
  const until = world.now + 100_000
  world.run(() => world.now >= until)
  return world
}

const SPECIAL = [0, 1, 4, 8, 0x1a, 0x30, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xff]

/** Another input near this one. */
function mutated(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let next = Uint8Array.from(bytes)
  for (let change = 0; change <= random.below(4); change++) {
    const at = random.below(Math.max(next.length, 1))
    switch (random.below(6)) {
      case 0:
        if (next.length > 0) next[at]! ^= 1 << random.below(8)
        break
      case 1:
        if (next.length > 0) next[at] = SPECIAL[random.below(SPECIAL.length)]!
        break
      case 2:
        next = Uint8Array.from([
          ...next.subarray(0, at),
          ...random.bytes(1 + random.below(8)),
          ...next.subarray(at),
        ])
        break
      case 3:
        next = Uint8Array.from([
          ...next.subarray(0, at),
          ...next.subarray(at + 1 + random.below(8)),
        ])
        break
      case 4:
        next = Uint8Array.from([
          ...next.subarray(0, at),
          ...other.subarray(random.below(Math.max(other.length, 1))),
        ])
        break
      default:
        next = Uint8Array.from([...next, ...next.subarray(at)])
    }
  }
  return next.subarray(0, 1_400)
}

export function readCorpus(): FuzzInput[] {
  const lines = readFileSync(CORPUS, 'utf8').split('\n')
  return lines
    .filter((line) => line !== '')
    .map((line) => {
      const [target, base64 = ''] = line.split(' ') as [TargetName, string | undefined]
      return { target, bytes: new Uint8Array(Buffer.from(base64, 'base64')) }
    })
}

export const corpusLine = ({ target, bytes }: FuzzInput): string =>
  `${target} ${Buffer.from(bytes).toString('base64')}`
