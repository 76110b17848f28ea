/**
 * Catch-up over the memory backend, both nodes in this process, next to what verifying alone takes.
 *
 *     node --conditions=weir-source packages/weir/src/sync/sync.bench.ts [operations] [bytes]
 *
 * Reading, framing and the sender's work are in the figure as well, so two processes are faster than this.
 */
import { Ledger, planMemory } from '../bounds/index.ts'
import { decodeHeader, VerifyPool, verifyHeader } from '../core/index.ts'
import { Scope } from '../runtime/index.ts'
import { keyOf, makeLog, makeMesh, planNodes, TOPIC, until } from './fixtures.ts'
import { verifyOnPool } from './verifying.ts'

const operations = Number(process.argv[2] ?? 10_000)
const bodyBytes = Number(process.argv[3] ?? 1_024)

const log = makeLog({ key: keyOf(1), count: operations, bodyBytes })

async function catchUp(pooled: boolean) {
  const plan = planNodes({
    nodes: 2,
    store: { operationsMax: operations, bytesMax: 2 * operations * (bodyBytes + 600) },
    transport: { windowFirstBytes: 64 * 1024 },
  })
  const memory = planMemory(plan.terms, { limitBytes: Number.MAX_SAFE_INTEGER })
  const ledger = new Ledger(memory)
  await using scope = new Scope('bench')
  const mesh = makeMesh(plan, ledger, scope)
  const pool = new VerifyPool(ledger.require(plan.core.verifyJobs), mesh.verifier)
  scope.own('pool', pool)
  const options = pooled ? { verifier: verifyOnPool(pool) } : {}
  const a = await mesh.node(0, options, async (store) => {
    for (let at = 0; at < log.length; at += 64) await store.append(TOPIC, log.slice(at, at + 64))
  })
  const b = await mesh.node(1, options)
  const started = performance.now()
  b.sync.connect(a.id)
  await until(() => b.got.length === operations)
  return operations / ((performance.now() - started) / 1_000)
}

/** As many signatures as there are operations, and nothing else. */
async function verifyOnly(pooled: boolean) {
  const plan = planNodes({ nodes: 1 })
  const ledger = new Ledger(planMemory(plan.terms, { limitBytes: Number.MAX_SAFE_INTEGER }))
  await using scope = new Scope('bench')
  const { verifier } = makeMesh(plan, ledger, scope)
  const headers = log.map(({ header }) => decodeHeader(header))
  const started = performance.now()
  if (pooled) {
    await using pool = new VerifyPool(ledger.require(plan.core.verifyJobs), verifier)
    const batches = verifyOnPool(pool)
    let running: Promise<unknown>[] = []
    for (let at = 0; at < headers.length; at += 64) {
      running.push(batches.verify(headers.slice(at, at + 64)))
      if (running.length === 4) {
        await Promise.all(running)
        running = []
      }
    }
    await Promise.all(running)
  } else for (const header of headers) verifyHeader(header, verifier)
  return operations / ((performance.now() - started) / 1_000)
}

for (const pooled of [false, true]) {
  const where = pooled ? 'on the thread pool' : 'in one thread'
  const alone = await verifyOnly(pooled)
  await catchUp(pooled)
  const rate = await catchUp(pooled)
  const share = Math.round((100 * rate) / alone)
  console.log(
    `${operations} operations of ${bodyBytes} bytes, verified ${where}: ${Math.round(rate)}/s, ` +
      `${share} % of verifying alone (${Math.round(alone)}/s)`,
  )
}
