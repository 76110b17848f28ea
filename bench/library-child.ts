/**
 * One of the two processes of the library's bench. Both have the memory backend, and a bridge carries its bytes.
 *
 *     library-child.ts serve OPERATIONS BYTES             a node that has the log; prints the port of its bridge
 *     library-child.ts pull OPERATIONS BYTES PORT MODE    answers each line of standard input with one round
 *
 * A round verifies all signatures of the log and does nothing else, then pulls the log into an empty node. Signatures are
 * verified in the thread that does everything (`here`), or on the thread pool of Node, as large as UV_THREADPOOL_SIZE.
 */
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { decodeHeader, type Header, VerifyPool } from 'weir-mesh/core'
import { Scope } from 'weir-mesh/runtime'
import {
  keyOf,
  type Mesh,
  makeLog,
  makeMesh,
  planNodes,
  TOPIC,
} from '../packages/weir/src/sync/fixtures.ts'
import { verifyHere, verifyOnPool } from '../packages/weir/src/sync/verifying.ts'
import { bridgeFrom, bridgeTo } from '../packages/weir/testing/bridge.ts'
import type { LibraryRound } from './library.ts'

const [role, operationsText, bytesText, portText, mode] = process.argv.slice(2)
const operations = Number(operationsText)
const bodyBytes = Number(bytesText)
const BATCH = 64
/** As many batches as a topic has in verification at once. */
const BATCHES = 4
/** Where the bridge is to be found; each process has a network of its own. */
const SERVER = '127.0.0.1:7000'

const makeOperations = () => makeLog({ key: keyOf(1), count: operations, bodyBytes })
const lines = createInterface({ input: process.stdin })

if (role === 'serve') await serve()
else {
  // Without the bodies, which a node that pulls does not have: the collector would look through them in each round.
  const headers = makeOperations().map(({ header }) => decodeHeader(header))
  for await (const _line of lines) console.log(JSON.stringify(await round(headers)))
}

/** Everything that a node needs, with room for the log; closed at the end. */
async function withMesh<T>(run: (mesh: Mesh, scope: Scope, ledger: Ledger) => Promise<T>) {
  const plan = planNodes({
    nodes: 1,
    store: { operationsMax: operations, bytesMax: 2 * operations * (bodyBytes + 600) },
    // Between two processes each grant of credit is a system call at either end.
    transport: { windowFirstBytes: 64 * 1024, windowBytesMax: 256 * 1024 },
  })
  const ledger = new Ledger(planMemory(plan.terms, { limitBytes: Number.MAX_SAFE_INTEGER }))
  await using scope = new Scope('bench')
  return await run(makeMesh(plan, ledger, scope), scope, ledger)
}

async function serve(): Promise<void> {
  await withMesh(async (mesh, scope) => {
    const log = makeOperations()
    await mesh.node(0, { key: keyOf(1) }, async (store) => {
      for (let at = 0; at < log.length; at += BATCH) {
        await store.append(TOPIC, log.slice(at, at + BATCH))
      }
    })
    const server = createServer()
    bridgeFrom(scope, mesh.network, server)
    server.listen(0, '127.0.0.1')
    scope.defer('server', () => server.close())
    await once(server, 'listening')
    console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }))
    await once(lines, 'close')
  })
}

async function round(headers: readonly Header[]): Promise<LibraryRound> {
  const verify = await withMesh(async (mesh, scope, ledger) => {
    const verifier = verifierOf(mesh, scope, ledger)
    return timed(async () => {
      const running = Array.from({ length: BATCHES }, async (_, lane) => {
        for (let at = lane * BATCH; at < headers.length; at += BATCHES * BATCH) {
          const valid = await verifier.verify(headers.slice(at, at + BATCH))
          if (valid.includes(false)) throw new Error('a signature of the bench is not valid')
        }
      })
      await Promise.all(running)
    })
  })
  const catchUp = await withMesh(async (mesh, scope, ledger) => {
    bridgeTo(scope, mesh.network, SERVER, Number(portText))
    mesh.known(keyOf(1).id, SERVER)
    let got = 0
    const all = Promise.withResolvers<void>()
    const node = await mesh.node(0, {
      key: keyOf(2),
      verifier: verifierOf(mesh, scope, ledger),
      onOperation: () => {
        if (++got === operations) all.resolve()
      },
    })
    return timed(async () => {
      node.sync.connect(keyOf(1).id)
      await all.promise
    })
  })
  return { verify, catchUp }
}

function verifierOf(mesh: Mesh, scope: Scope, ledger: Ledger) {
  if (mode === 'here') return verifyHere(mesh.verifier)
  const pool = new VerifyPool(ledger.require(mesh.plan.core.verifyJobs), mesh.verifier)
  return verifyOnPool(scope.own('pool', pool))
}

/**
 * Wall and CPU time of this process for each operation, in microseconds, and how long a verifying thread had nothing to
 * do. It is told from waiting for a core, so it is the same on a machine that others use.
 */
async function timed(run: () => Promise<void>) {
  const cpuBefore = process.cpuUsage()
  const busyBefore = verifyingUs()
  const from = performance.now()
  await run()
  const wallUs = ((performance.now() - from) * 1_000) / operations
  const { user, system } = process.cpuUsage(cpuBefore)
  const busyUs = (verifyingUs() - busyBefore) / operations
  const idleUs = busyUs > 0 ? wallUs - busyUs / Number(process.env['UV_THREADPOOL_SIZE']) : 0
  return { wallUs, cpuUs: (user + system) / operations, idleUs }
}

/** What the threads of Node's pool have run and waited for a core so far. */
function verifyingUs(): number {
  let us = 0
  for (const task of readdirSync('/proc/self/task')) {
    if (!readFileSync(`/proc/self/task/${task}/comm`, 'latin1').startsWith('libuv-worker')) continue
    const times = readFileSync(`/proc/self/task/${task}/schedstat`, 'latin1').split(' ')
    us += (Number(times[0]) + Number(times[1])) / 1_000
  }
  return us
}
