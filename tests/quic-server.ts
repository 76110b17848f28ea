/**
 * The program that `quic-floods.ts` attacks: an endpoint with the memory plan of a program, that accepts whoever comes
 * and sends back what it gets. It answers questions about its memory over IPC and ends with its parent.
 */
import { floorBytes, forceCollection, Ledger, planMemory } from 'weir-mesh/bounds'
import { KeyPair } from 'weir-mesh/core'
import { Counters, Scope } from 'weir-mesh/runtime'
import { type Connection, FixedAddresses } from 'weir-mesh/transport'
import { quicTransport } from '../packages/weir/src/quic/transport.ts'

export const LIMITS = Object.freeze({ connectTimeoutMs: 2_000, incomingDeadlineMs: 1_000 })
export const PROTOCOL = new Uint8Array(32).fill(7)

/** What the plan of the program says, and the V8 flags that belong to it. */
export function serverPlan() {
  const planned = quicTransport.plan(LIMITS)
  const options = { limitBytes: 2 ** 30, floorBytes: floorBytes('library') }
  const least = planMemory(planned.terms, options)
  // The limit is the plan itself: nothing is lent to the collector.
  const plan = planMemory(planned.terms, { ...options, limitBytes: least.totalBytes + 1 })
  return { planned, plan }
}

export interface ServerReport {
  readonly rss: number
  readonly heapUsed: number
  readonly entries: Readonly<Record<string, number>>
  /** Terms that ever held more than was planned. */
  readonly over: readonly string[]
  readonly accountBytes: number
  readonly peakAccountBytes: number
  readonly counters: Readonly<Record<string, number>>
}

async function serve(): Promise<void> {
  const { planned, plan } = serverPlan()
  const counters = new Counters()
  const ledger = new Ledger(plan, { counters })
  const scope = new Scope('server', { counters })
  const lookup = new FixedAddresses([])
  const keyPair = KeyPair.generate()
  const endpoint = await planned.open({ scope, ledger, keyPair, lookup, protocols: [PROTOCOL] })
  void (async () => {
    for await (const incoming of endpoint.incoming) incoming.accept().then(echo, () => {})
  })()
  process.on('message', (question) => {
    if (question === 'collect') forceCollection()
    const { rss, heapUsed } = process.memoryUsage()
    const rows = [...ledger.rows()]
    const report: ServerReport = {
      ...{ rss, heapUsed, accountBytes: ledger.costBytes },
      entries: Object.fromEntries(rows.map((row) => [row.term.name, row.entries])),
      over: rows
        .filter(({ peakCostBytes, plannedBytes }) => peakCostBytes > plannedBytes)
        .map(({ term }) => term.name),
      peakAccountBytes: rows.reduce((sum, row) => sum + row.peakCostBytes, 0),
      counters: Object.fromEntries([...counters].map(({ name, value }) => [name, value])),
    }
    process.send!(report)
  })
  process.on('disconnect', () => process.exit())
  process.send!({ node: [...endpoint.nodeId], address: endpoint.localAddresses[0] })
}

async function echo(connection: Connection): Promise<void> {
  try {
    while (true) {
      const { send, receive } = await connection.acceptBi()
      void (async () => {
        for await (const part of receive) await send.write(part)
        await send.finish()
      })().catch(() => {})
    }
  } catch {
    // It is over.
  }
}

if (process.argv[1] === import.meta.filename) await serve()
