/**
 * What a QUIC connection that does nothing takes at each end, the two ends in processes of their own.
 *
 *     node tools/with-node.js bench/quic-idle.ts                       1 000 connections
 *     node tools/with-node.js bench/quic-idle.ts --connections 500
 *     node tools/with-node.js bench/quic-idle.ts --snapshot folder     leaves heap snapshots to compare
 *
 * Both ends first open and close a hundred connections a few times, so that code, feedback and shapes are there.
 * Then memory is read after forced collections, with none, with half and with all of them open, `--age` seconds old.
 * RSS is the anonymous part of it: pages of the program file come as code is first run. The halves differ by the moments
 * at which the heap takes pages; what counts is the mean of all.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { writeHeapSnapshot } from 'node:v8'
import { forceCollection, Ledger, planMemory } from 'weir-mesh/bounds'
import { KeyPair } from 'weir-mesh/core'
import { Scope } from 'weir-mesh/runtime'
import { type Connection, type Endpoint, FixedAddresses } from 'weir-mesh/transport'
import { quicTransport } from '../packages/weir/src/quic/transport.ts'
import { memoryOf } from './proc.ts'

const PROTOCOL = new Uint8Array(32).fill(7)
const BYTES_MAX = 20_000
const DIALS_AT_ONCE = 4
const WARM_UP = 100

interface Reading {
  readonly anonymous: number
  readonly heapUsed: number
  readonly external: number
  readonly accounts: number
}

interface Order {
  readonly do: 'dial' | 'close' | 'read' | 'snapshot'
  readonly count?: number
  readonly node?: string
  readonly address?: string
  readonly file?: string
}

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '1000' },
    age: { type: 'string', default: '3' },
    snapshot: { type: 'string' },
    child: { type: 'boolean', default: false },
  },
})
const connections = Number(values.connections)

async function compare(): Promise<number> {
  const [server, client] = [await End.open(), await End.open()]
  try {
    const dial = {
      do: 'dial',
      count: connections,
      node: server.node,
      address: server.address,
    } as const
    for (let warmUp = 0; warmUp < 5; warmUp++) {
      // Few at a time: what stays with the heap must not hide what many of them take.
      await client.ask({ ...dial, count: WARM_UP })
      await client.ask({ do: 'close' })
      await server.ask({ do: 'close' })
      await sleep(200)
    }
    const readings = async () => [
      await server.ask({ do: 'read' }),
      await client.ask({ do: 'read' }),
    ]
    const before = await readings()
    await snapshots(server, client, 'before')
    const half = { ...dial, count: connections / 2 }
    await client.ask(half)
    await sleep(Number(values.age) * 1000)
    const halfway = await readings()
    await client.ask(half)
    await sleep(Number(values.age) * 1000)
    const open = await readings()
    await snapshots(server, client, 'open')
    await client.ask({ do: 'close' })
    await sleep(1_000)
    await server.ask({ do: 'close' })
    return judge(before, halfway, open, await readings())
  } finally {
    server.close()
    client.close()
  }
}

async function snapshots(server: End, client: End, when: string): Promise<void> {
  if (values.snapshot === undefined) return
  await server.ask({ do: 'snapshot', file: join(values.snapshot, `server-${when}.heapsnapshot`) })
  await client.ask({ do: 'snapshot', file: join(values.snapshot, `client-${when}.heapsnapshot`) })
}

function judge(before: Reading[], halfway: Reading[], open: Reading[], closed: Reading[]): number {
  let failed = 0
  for (const [index, end] of ['server', 'client'].entries()) {
    const figures = (from: Reading[], to: Reading[], count: number) => {
      const each = (name: keyof Reading) =>
        Math.round((to[index]![name] - from[index]![name]) / count)
      const [heap, external, rss] = [each('heapUsed'), each('external'), each('anonymous')]
      const text = `heap ${heap}  external ${external}  RSS ${rss}  planned ${each('accounts')}`
      return { text, held: Math.max(heap + external, rss) }
    }
    const half = connections / 2
    const all = figures(before, open, connections)
    const good = all.held <= BYTES_MAX
    if (!good) failed++
    console.log(`${end}, of all:      ${all.text}: ${good ? 'held' : 'MORE THAN 20 KB'}`)
    console.log(`${end}, first half:  ${figures(before, halfway, half).text}`)
    console.log(`${end}, second half: ${figures(halfway, open, half).text}`)
    console.log(`${end}, left of all: ${figures(before, closed, connections).text}`)
  }
  return failed === 0 ? 0 : 1
}

/** One end in a process of its own. */
class End {
  readonly #child: ChildProcess
  node = ''
  address = ''

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async open(): Promise<End> {
    const child = fork(import.meta.filename, ['--child', '--connections', String(connections)], {
      execArgv: ['--conditions=weir-source', '--expose-gc', '--max-semi-space-size=1'],
    })
    const end = new End(child)
    const hello = (await end.#answer()) as { node: string; address: string }
    end.node = hello.node
    end.address = hello.address
    return end
  }

  async ask(order: Order): Promise<Reading> {
    this.#child.send(order)
    return (await this.#answer()) as Reading
  }

  close(): void {
    this.#child.kill()
  }

  #answer(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const ended = () => reject(new Error('an end stopped'))
      this.#child.once('exit', ended)
      this.#child.once('message', (message) => {
        this.#child.off('exit', ended)
        resolve(message)
      })
    })
  }
}

async function serveOrders(): Promise<void> {
  const planned = quicTransport.plan({
    connectionsMax: 2 * connections,
    incomingMax: 256,
    receivePoolBytes: 128 * 1024 * connections,
  })
  const plan = planMemory(planned.terms, { limitBytes: 2 ** 42 })
  const ledger = new Ledger(plan)
  const scope = new Scope('idle')
  const keyPair = KeyPair.generate()
  const lookup = new FixedAddresses([])
  const endpoint = await planned.open({ scope, ledger, keyPair, lookup, protocols: [PROTOCOL] })
  let open: Connection[] = []
  void accept(endpoint, (connection) => open.push(connection))
  process.on('message', async (order: Order) => {
    if (order.do === 'dial') {
      const node = Uint8Array.from(Buffer.from(order.node!, 'hex')) as typeof keyPair.id
      let left = order.count!
      const dialler = async () => {
        while (left-- > 0) {
          open.push(await endpoint.connect(node, PROTOCOL, { addresses: [order.address!] }))
        }
      }
      await Promise.all(Array.from({ length: DIALS_AT_ONCE }, dialler))
    } else if (order.do === 'close') {
      for (const each of open) each.close()
      open = []
      await sleep(200)
    } else if (order.do === 'snapshot') writeHeapSnapshot(order.file)
    process.send!(await reading(ledger))
  })
  process.send!({
    node: Buffer.from(endpoint.nodeId).toString('hex'),
    address: endpoint.localAddresses[0],
  })
}

async function accept(endpoint: Endpoint, keep: (connection: Connection) => void): Promise<void> {
  for await (const incoming of endpoint.incoming) {
    incoming.accept().then(keep, (error) => console.error(String(error)))
  }
}

async function reading(ledger: Ledger): Promise<Reading> {
  for (let round = 0; round < 6; round++) {
    forceCollection()
    await sleep(100)
  }
  const { heapUsed, external } = process.memoryUsage()
  // Resident without the pages of the program file, which come as code is first run.
  const { anonymous } = memoryOf(process.pid)
  return { anonymous, heapUsed, external, accounts: ledger.costBytes }
}

if (values.child) await serveOrders()
else process.exitCode = await compare()
