/**
 * What a QUIC connection costs without sockets: two machines in one process that hand datagrams to each other.
 *
 *     node tools/with-node.js bench/quic-core.ts                    bulk and 64-byte messages, each suite and none
 *     node tools/with-node.js bench/quic-core.ts --mtu 16384        with larger datagrams
 *     node tools/with-node.js bench/quic-core.ts --only none --seconds 10
 *
 * Times are CPU time of the process for both ends together, after a warm-up, so that other processes disturb them little.
 * `none` seals nothing: what is left is the protocol. `coalesced` fills a stream with messages and flushes, `single`
 * flushes after each message, as for a program that sends one in each turn.
 */
import { parseArgs } from 'node:util'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { KeyPair } from 'weir-mesh/core'
import { instant, seededRandom } from 'weir-mesh/runtime'
import { transportLimits } from 'weir-mesh/transport'
import { machineAccounts, noResets } from '../packages/weir/src/quic/accounts.fixture.ts'
import type { ConnectionEffects } from '../packages/weir/src/quic/connection/connection-options.ts'
import { ConnectionMachine } from '../packages/weir/src/quic/connection-machine.ts'
import type { PacketKeys } from '../packages/weir/src/quic/contract.ts'
import { quicLimits, quicTerms } from '../packages/weir/src/quic/memory.ts'
import { type QuicSecurity, tlsSecurity } from '../packages/weir/src/quic/security.ts'
import type { Stream } from '../packages/weir/src/quic/streams/streams.ts'
import { toySecurity } from '../packages/weir/src/quic/toy-tls.fixture.ts'

const { values } = parseArgs({
  options: {
    mtu: { type: 'string', default: '1200' },
    seconds: { type: 'string', default: '2' },
    only: { type: 'string' },
  },
})
const MTU = Number(values.mtu)
const SECONDS = Number(values.seconds)
const WARM_UP_SECONDS = 1
const MESSAGE_BYTES = 64
const BATCH = 512
const REMOTE = { host: '10.0.0.1', port: 1 }
const PROTOCOL = new Uint8Array(32)
const keyPairs = [1, 2].map((fill) => KeyPair.fromSeed(new Uint8Array(32).fill(fill)))

const TAG_BYTES = 16
const noKeys: PacketKeys = {
  suite: 0x1301,
  seal: (_buffer, _start, _headerEnd, plainEnd) => plainEnd + TAG_BYTES,
  unmask: (buffer, start) => (buffer[start]! & 3) + 1,
  open: (_buffer, _start, _headerEnd, end) => end - TAG_BYTES,
  next: () => noKeys,
  [Symbol.dispose]() {},
}

function noSecurity(): QuicSecurity {
  const keys = () => ({ read: noKeys, write: noKeys })
  return { ...toySecurity(), initialKeys: keys, levelKeys: keys }
}

const securities: Readonly<Record<string, () => QuicSecurity>> = {
  none: noSecurity,
  'AES-128-GCM': () => tlsSecurity({ suites: [0x1301] }),
  'ChaCha20-Poly1305': () => tlsSecurity({ suites: [0x1303] }),
}

class End implements ConnectionEffects {
  machine!: ConnectionMachine
  peer!: End
  up = false
  incoming: Stream | undefined
  datagrams = 0
  read = 0
  #inbox: Uint8Array[] = []

  send(bytes: Uint8Array, length: number): void {
    this.datagrams++
    this.peer.#inbox.push(bytes.slice(0, length))
  }

  established(): void {
    this.up = true
  }

  shown(stream: Stream): void {
    this.incoming = stream
  }

  ended(): void {}
  readable(): void {}
  writable(): void {}
  stopped(): void {}
  granted(): void {}
  gone(): void {}

  turn(now: number): void {
    const at = instant(now)
    const inbox = this.#inbox
    this.#inbox = []
    for (const datagram of inbox) this.machine.receive(datagram, REMOTE, at, this)
    const stream = this.incoming
    if (stream) {
      if (!stream.accepted) this.machine.accept(stream, at, this)
      for (;;) {
        const bytes = this.machine.read(stream, 65_536, at, this)
        if (!bytes) break
        this.read += bytes.length
      }
    }
    if (this.machine.wakeAt <= now) this.machine.wake(at, this)
    else this.machine.flush(at, this)
  }
}

const limits = quicLimits(transportLimits({ endpointsMax: 2 }))
const terms = quicTerms(limits)

function connect(security: QuicSecurity, ledger: Ledger): readonly [End, End] {
  const random = seededRandom(1)
  const buffer = new Uint8Array(Math.max(MTU, 1_500))
  const originalDestination = random.bytes(16)
  const issue = () => ({ bytes: random.bytes(8), token: random.bytes(16) })
  const make = (end: End, client: boolean, peerId?: Uint8Array): Uint8Array => {
    const localId = issue()
    const held = machineAccounts(terms, (term) => ledger.require(term))
    const expected = keyPairs[1]!.id
    end.machine = new ConnectionMachine(
      {
        ...{
          role: client ? 'client' : 'server',
          security,
          random,
          remote: REMOTE,
          validated: true,
        },
        tls: (parameters) =>
          client
            ? security.client({ keyPair: keyPairs[0]!, expected, protocol: PROTOCOL, parameters })
            : security.server({ keyPair: keyPairs[1]!, protocols: [PROTOCOL], parameters }),
        router: { issue, retire: () => {}, ...noResets },
        ...{ localId, originalDestination, buffer },
        ...(peerId ? { peerId } : {}),
        limits: { ...limits, congestionWindowBytesMax: limits.connectionSendBytesMax },
        mtuMax: MTU,
        accounts: held.accounts,
        shared: held.shared,
      },
      instant(1_000_000),
    )
    return localId.bytes
  }
  const [a, b] = [new End(), new End()]
  a.peer = b
  b.peer = a
  make(b, false, make(a, true))
  a.machine.start(instant(1_000_000), a)
  return [a, b]
}

type Mode = 'bulk' | 'coalesced' | 'single'

function run(name: string, mode: Mode): void {
  const plan = planMemory(Object.values(terms), { limitBytes: Number.MAX_SAFE_INTEGER })
  const ledger = new Ledger(plan)
  const [a, b] = connect(securities[name]!(), ledger)
  const bytes = new Uint8Array(mode === 'bulk' ? 65_536 : MESSAGE_BYTES)
  const most = mode === 'bulk' ? Number.POSITIVE_INFINITY : mode === 'single' ? 1 : BATCH
  let stream: Stream | undefined
  let from = 0
  let now = 1_000_000
  const round = (): void => {
    for (let each = 0; stream && each < most; each++) {
      from += a.machine.write(stream, bytes, from)
      if (from < bytes.length) break
      from = 0
    }
    a.turn(now)
    b.turn(now)
    now += 100
    if (a.up && b.up) stream ??= a.machine.open(false)
  }
  spend(WARM_UP_SECONDS, round)
  a.datagrams = b.datagrams = b.read = 0
  const seconds = spend(SECONDS, round)
  const speed =
    mode === 'bulk'
      ? `${(b.read / seconds / 1e6).toFixed(0)} MB/s`
      : `${(b.read / MESSAGE_BYTES / seconds / 1e3).toFixed(0)} k messages/s`
  const each = (seconds * 1e6) / a.datagrams
  process.stdout.write(
    `${name.padEnd(18)} ${mode.padEnd(10)} ${speed.padStart(18)} ${each.toFixed(1).padStart(7)} us a datagram\n`,
  )
}

/** Runs for so many seconds of CPU time. @returns how many it really were. */
function spend(seconds: number, round: () => void): number {
  const before = process.cpuUsage()
  for (;;) {
    for (let each = 0; each < 64; each++) round()
    const { user, system } = process.cpuUsage(before)
    if (user + system >= seconds * 1e6) return (user + system) / 1e6
  }
}

for (const name of Object.keys(securities)) {
  if (values.only && !name.startsWith(values.only)) continue
  for (const mode of ['bulk', 'coalesced', 'single'] as const) run(name, mode)
}
