/**
 * How the terms of this backend are filled for `npm run costs`: with real connections, whose other ends are in a process
 * of their own.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Account, type CostCase, Ledger, planMemory } from 'weir-mesh/bounds'
import { KeyPair, nodeId } from 'weir-mesh/core'
import { ManualClock, Scope } from 'weir-mesh/runtime'
import {
  type Connection,
  type Endpoint,
  FixedAddresses,
  IncomingQueue,
  transportLimits,
} from 'weir-mesh/transport'
import type { NativeSendStream } from './binding.ts'
import { openIrohEndpoint } from './endpoint.ts'
import { type IrohTerms, irohTerms, NATIVE_INCOMING_BYTES, READ_BYTES_MIN } from './memory.ts'
import { IrohSendStream } from './send-stream.ts'

const STREAMS = 16
const limits = transportLimits({
  incomingTraced: false,
  incomingBytesMax: 64 * NATIVE_INCOMING_BYTES,
  streamsMax: STREAMS,
})
const terms = irohTerms(limits)
const wide = irohTerms(transportLimits({ endpointsMax: 1_024, streamsMax: STREAMS }))
const besides = new Ledger(
  planMemory(Object.values(wide), { limitBytes: Number.MAX_SAFE_INTEGER }),
  { assertLeaks: false },
)
const names = Object.keys(terms) as (keyof IrohTerms)[]
const scope = new Scope('costs')
const PROTOCOL = new Uint8Array(32).fill(9)
const never = new Promise<never>(() => {})

/** Hands out the account that is measured for its term, and others as they are. */
function handing(measured: Partial<Record<keyof IrohTerms, Account>>): Ledger {
  return {
    require(term: IrohTerms[keyof IrohTerms]) {
      const name = names.find((each) => terms[each] === term)!
      return measured[name] ?? besides.require(wide[name])
    },
  } as unknown as Ledger
}

interface Other {
  readonly child: ChildProcess
  readonly node: ReturnType<typeof nodeId>
  readonly addresses: readonly string[]
}

let other: Promise<Other> | undefined

/** A process that takes every connection, and opens all the streams that it may. */
function otherEnd(): Promise<Other> {
  other ??= (async () => {
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', OTHER_END, String(STREAMS)],
      { cwd: import.meta.dirname, stdio: ['pipe', 'pipe', 'inherit'] },
    )
    const [line] = (await once(child.stdout!, 'data')) as [Buffer]
    const { id, addresses } = JSON.parse(line.toString()) as { id: number[]; addresses: string[] }
    return { child, node: nodeId(Uint8Array.from(id)), addresses }
  })()
  return other
}

const OTHER_END = `
  import { Endpoint, RelayMode, presetMinimal } from '@number0/iroh/index.js'
  const builder = Endpoint.builder()
  presetMinimal(builder)
  builder.relayMode(RelayMode.disabled())
  builder.alpns([Array(32).fill(9)])
  builder.bindAddr('127.0.0.1:0')
  const endpoint = await builder.bind()
  const kept = []
  const take = async (incoming) => {
    const connection = await (await incoming.accept()).connect()
    kept.push(connection)
    for (let at = 0; at < Number(process.argv[1]); at++) {
      const uni = await connection.openUni()
      await uni.writeAll([1])
      const bi = await connection.openBi()
      await bi.send.writeAll([1])
      kept.push(uni, bi)
    }
  }
  process.stdin.on('end', () => process.exit()).resume()
  const addresses = endpoint.boundSockets().filter((each) => each.startsWith('127.'))
  console.log(JSON.stringify({ id: [...endpoint.id().toBytes()], addresses }))
  for (;;) take(await endpoint.acceptNext()).catch(() => {})
`

async function openEndpoint(measured: Parameters<typeof handing>[0]): Promise<Endpoint> {
  const { node, addresses } = await otherEnd()
  return openIrohEndpoint({
    scope,
    ledger: handing(measured),
    terms,
    limits,
    keyPair: KeyPair.generate(),
    protocols: [PROTOCOL],
    lookup: new FixedAddresses([{ node, addresses }]),
  })
}

async function connections(endpoint: Endpoint, count: number): Promise<Connection[]> {
  const { node } = await otherEnd()
  const open: Connection[] = []
  while (open.length < count) open.push(await endpoint.connect(node, PROTOCOL))
  return open
}

async function fillConnections(account: Account): Promise<unknown> {
  const endpoint = await openEndpoint({ connections: account })
  return [endpoint, await connections(endpoint, account.term.entriesMax)]
}

/** The first endpoint of a process, which starts the threads of the binding. */
async function fillNative(native: Account): Promise<unknown> {
  const endpoint = await openEndpoint({ native })
  return [endpoint, await connections(endpoint, native.term.entriesMax)]
}

/** All streams of a connection, each with a read that waits. */
async function fillStreams(streams: Account): Promise<unknown> {
  const full = { ...besides.require(wide.buffers), take: () => 'cap' } as unknown as Account
  const endpoint = await openEndpoint({ streams, buffers: full })
  const [connection] = await connections(endpoint, 1)
  const held: unknown[] = [endpoint, connection]
  for (let at = 0; at < STREAMS; at++) {
    const bi = [await connection!.openBi(), await connection!.acceptBi()]
    const uni = await connection!.acceptUni()
    for (const receive of [uni, ...bi.map((each) => each.receive)]) {
      // The peer has said one byte on its streams, and nothing on ours.
      if (receive !== bi[0]!.receive) await receive.read(READ_BYTES_MIN)
      held.push(receive.read(READ_BYTES_MIN))
    }
    held.push(bi, uni, await connection!.openUni())
  }
  return held
}

async function besideStreams(): Promise<unknown> {
  const endpoint = await openEndpoint({})
  return [endpoint, await connections(endpoint, 1)]
}

/** Calls that wait until one of the streams before them ends. */
async function fillOpens(opens: Account): Promise<unknown> {
  const held = (await openStreams({ opens })) as [unknown, Connection]
  const calls: Promise<unknown>[] = []
  while (opens.entries < opens.term.entriesMax) {
    calls.push(held[1].openBi({ signal: scope.signal }))
  }
  return [held, calls]
}

async function openStreams(measured: Parameters<typeof handing>[0]): Promise<unknown[]> {
  const endpoint = await openEndpoint(measured)
  const [connection] = await connections(endpoint, 1)
  const held: unknown[] = [endpoint, connection]
  for (let at = 0; at < STREAMS; at++) held.push(await connection!.openBi())
  return held
}

/** An array of the same size stands for what the binding keeps of an incoming. */
function fillIncoming(account: Account): unknown {
  const clocked = new Scope('costs', { clock: new ManualClock() })
  const queue = new IncomingQueue({ scope: clocked, account, deadlineMs: 1_000, traced: false })
  const iterator = queue[Symbol.asyncIterator]()
  const taken: unknown[] = []
  for (let at = 0; at < account.term.entriesMax; at++) {
    const native = new Uint8Array(NATIVE_INCOMING_BYTES)
    queue.offer({
      remote: `127.0.0.1:${10_000 + at}`,
      validated: false,
      bytes: NATIVE_INCOMING_BYTES,
      accept: async () => {
        throw new Error(`never accepted: ${native.length}`)
      },
      refuse: () => native.fill(0),
      retry: () => native.fill(0),
      ignore: () => {},
    })
    taken.push(iterator.next())
  }
  return [queue, taken]
}

/** Writes behind one that the binding does not end. */
function fillBuffers(account: Account): unknown {
  const held: unknown[] = []
  const { windowBytesMax } = limits
  for (let bytes = account.freeBytes; bytes >= windowBytesMax; bytes -= windowBytesMax) {
    const stream = sendStream(account)
    // The first bytes are in the native write, the others are gathered behind it.
    held.push(stream, stream.write(new Uint8Array(windowBytesMax)))
  }
  return held
}

const sendStream = (account: Account): IrohSendStream =>
  new IrohSendStream({ writeAll: () => never } as unknown as NativeSendStream, {
    account,
    bufferBytesMax: limits.windowBytesMax,
    failure: (error) => error as Error,
    ended() {},
  })

/** The streams themselves, each with one byte on its way. */
function besideBuffers(): unknown {
  const account = { take: () => 'ok', give() {} } as unknown as Account
  const count = terms.buffers.payloadBytesMax / limits.windowBytesMax
  return Array.from({ length: count }, () => {
    const stream = sendStream(account)
    return [stream, stream.write(new Uint8Array(1))]
  })
}

export const costs: readonly CostCase[] = Object.freeze([
  { term: terms.incoming, fill: fillIncoming },
  { term: terms.connections, fill: fillConnections, instances: 3 },
  {
    term: terms.streams,
    fill: fillStreams,
    beside: besideStreams,
    resident: true,
    instances: 64,
  },
  { term: terms.opens, fill: fillOpens, beside: () => openStreams({}), instances: 32 },
  { term: terms.buffers, fill: fillBuffers, beside: besideBuffers },
  { term: terms.native, fill: fillNative, instances: 1, warmUps: 0 },
])
