/** How the terms of the memory backend are filled for `npm run costs`. */
import { type Account, type CostCase, Ledger, planMemory, RingQueue } from '../bounds/index.ts'
import { copyBytes } from '../codec/index.ts'
import { KeyPair } from '../core/index.ts'
import { ManualClock, Scope } from '../runtime/index.ts'
import { FixedAddresses } from './addresses.ts'
import { IncomingQueue } from './incoming.ts'
import { transportLimits, transportTerms } from './memory.ts'
import { type ConnectionAccounts, MemoryConnection } from './memory-connection.ts'
import { MemoryEndpoint } from './memory-endpoint.ts'
import { MemoryNetwork } from './memory-network.ts'
import { ReceiveHalf } from './memory-streams.ts'
import type { Wire } from './wire.ts'

const limits = transportLimits({ incomingTraced: false, windowFirstBytes: 64 * 1024 })
const terms = transportTerms(limits)

/** Accounts that a filling needs beside the one that is measured; their tables are planned with their own terms. */
const wide = transportTerms(
  transportLimits({
    endpointsMax: 2 ** 16,
    incomingTraced: false,
    connectionWindowBytesMax: 2 ** 30,
    receivePoolBytes: 2 ** 30,
  }),
)
const besides = new Ledger(planMemory(Object.values(wide), { limitBytes: Number.MAX_SAFE_INTEGER }))

const silentWire: Wire = Object.freeze({ send() {}, close() {} })
const key = KeyPair.fromSeed(new Uint8Array(32).fill(1)).id

function connection(measured: Partial<ConnectionAccounts>): MemoryConnection {
  return new MemoryConnection({
    nodeId: key,
    protocol: key,
    remote: '127.0.0.1:1',
    outbound: true,
    limits,
    wire: silentWire,
    accounts: {
      streams: measured.streams ?? besides.require(wide.streams),
      opens: measured.opens ?? besides.require(wide.opens),
      acceptsUni: besides.require(wide.accepts),
      acceptsBi: besides.require(wide.accepts),
      receive: besides.require(wide.receive),
    },
    hungry() {},
    freed() {},
    ended() {},
  })
}

function fillIncoming(account: Account): unknown {
  const scope = new Scope('costs', { clock: new ManualClock() })
  const queue = new IncomingQueue({ scope, account, deadlineMs: 1_000, traced: false })
  const iterator = queue[Symbol.asyncIterator]()
  const taken: unknown[] = []
  const bytes = Math.floor(account.term.payloadBytesMax / account.term.entriesMax)
  for (let each = 0; each < account.term.entriesMax; each++) {
    const datagram = new Uint8Array(bytes)
    queue.offer({
      remote: '127.0.0.1:1',
      validated: false,
      bytes,
      accept: async () => {
        throw new Error(`never accepted: ${datagram.length}`)
      },
      refuse: () => datagram.fill(0),
      retry: () => datagram.fill(0),
      ignore: () => {},
    })
    taken.push(iterator.next())
  }
  return [queue, taken]
}

async function fillConnections(account: Account): Promise<unknown> {
  const scope = new Scope('costs', { clock: new ManualClock() })
  const network = new MemoryNetwork({ clock: scope.clock })
  network.listen({
    address: '127.0.0.1:1',
    dial(dial) {
      dial.attach({ receive() {}, lost() {} })
      dial.answer('accepted')
    },
  })
  const ledger = Object.create(besides, {
    require: {
      value: (term: typeof wide.connections, options: object) =>
        term === wide.connections ? account : besides.require(term, options),
    },
  }) as Ledger
  const endpoint = new MemoryEndpoint({
    ...{ scope, ledger, limits, network, terms: wide, nodeId: key, protocols: [] },
    lookup: new FixedAddresses([]),
  })
  const connections: unknown[] = []
  for (let each = 0; each < account.term.entriesMax; each++) {
    const node = copyBytes(key).fill(each) as typeof key
    connections.push(await endpoint.connect(node, key, { addresses: ['127.0.0.1:1'] }))
  }
  return [endpoint, connections]
}

/** Half of the streams are our own, half the peer's; those of one kind go one way. */
async function fillStreams(account: Account): Promise<unknown> {
  const filled = connection({ streams: account })
  const own: unknown[] = []
  for (const bidi of [true, false]) {
    filled.receive({ type: 'streams', bidi, count: limits.streamsMax })
    for (let each = 0; each < limits.streamsMax; each++) {
      own.push(await (bidi ? filled.openBi() : filled.openUni()))
      const stream = 4 * each + (bidi ? 1 : 3)
      filled.receive({ type: 'open', stream, bidi, credit: 1 })
    }
  }
  return [filled, own]
}

function fillOpens(account: Account): unknown {
  const filled = connection({ opens: account })
  const waiting: unknown[] = []
  for (let each = 0; each < account.term.entriesMax; each++) waiting.push(filled.openUni())
  return [filled, waiting]
}

function fillAccepts(account: Account): unknown {
  const queue = new RingQueue<object>(account)
  for (let each = 0; each < account.term.entriesMax; each++) queue.push(silentWire)
  return queue
}

/** One window less than the cap: the halves themselves are in the term of the streams. */
function fillReceive(account: Account): unknown {
  const halves: ReceiveHalf[] = []
  const window = 32 * 1024
  for (let bytes = window; bytes < account.term.payloadBytesMax; bytes += window) {
    const half = new ReceiveHalf({
      stream: bytes,
      owner: { send() {}, freed() {}, ended() {} },
      account,
      windowFirstBytes: window,
      windowBytesMax: window,
      hungry() {},
    })
    half.firstCredit()
    half.data(new Uint8Array(window))
    halves.push(half)
  }
  return halves
}

export const costs: readonly CostCase[] = Object.freeze([
  { term: terms.incoming, fill: fillIncoming },
  { term: terms.connections, fill: fillConnections },
  { term: terms.streams, fill: fillStreams },
  { term: terms.opens, fill: fillOpens },
  { term: terms.accepts, fill: fillAccepts },
  { term: terms.receive, fill: fillReceive },
])
