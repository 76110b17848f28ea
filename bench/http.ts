/**
 * What a request to an API server costs in CPU: the client of `kube` beside one on node:https, in one process and in
 * turns, so that the ratio holds on a busy machine too.
 *
 *     node tools/with-node.js bench/http.ts                 2 000 requests a round, 8 at a time, 7 rounds
 *     node tools/with-node.js bench/http.ts --at-once 1
 *
 * The server is node:https in a process of its own and is not counted. Both clients parse the JSON of every answer; the
 * one of `kube` also charges its accounts, has a deadline and listens to a signal. The median round counts.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:https'
import { parseArgs } from 'node:util'
import { Ledger, planMemory } from 'weir-mesh/bounds'
import { Scope } from 'weir-mesh/runtime'
import { makeIdentity } from '../packages/mesh-controller/src/api-server/index.ts'
import {
  DEFAULT_KUBE_LIMITS,
  KubeClient,
  type KubeObject,
  kubeTerms,
} from '../packages/mesh-controller/src/kube/index.ts'

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '7' },
    'at-once': { type: 'string', default: '8' },
  },
})
const requests = Number(values.requests)
const rounds = Number(values.rounds)
const atOnce = Number(values['at-once'])

const WIDGETS = {
  group: 'demo.weir.example',
  version: 'v1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
} as const

const PATH = '/apis/demo.weir.example/v1/namespaces/default/widgets'
const widget: KubeObject = {
  apiVersion: 'demo.weir.example/v1',
  kind: 'Widget',
  metadata: { name: 'w', namespace: 'default' },
  spec: { size: 1, note: 'n'.repeat(1_900) },
}

/** Answers a read with 400 bytes, and a create with what came. */
const SERVER = `
  process.stdin.once('data', (line) => {
    const { key, certificate: cert } = JSON.parse(line)
    const small = JSON.stringify({ metadata: { name: 'w' }, spec: { note: 'n'.repeat(350) } })
    const server = require('node:https').createServer({ key, cert, keepAliveTimeout: 60_000 }, (request, response) => {
      response.setHeader('content-type', 'application/json')
      if (request.method === 'GET') return response.end(small)
      const chunks = []
      request.on('data', (chunk) => chunks.push(chunk))
      request.on('end', () => response.end(Buffer.concat(chunks)))
    })
    server.listen(0, '127.0.0.1', () => console.log(server.address().port))
  })
  process.stdin.on('end', () => process.exit())
`

interface Client {
  create(): Promise<unknown>
  get(): Promise<unknown>
}

async function startServer(): Promise<{ child: ChildProcess; port: number; ca: string }> {
  const child = spawn(process.execPath, ['-e', SERVER], { stdio: ['pipe', 'pipe', 'inherit'] })
  const identity = await makeIdentity('127.0.0.1', Date.now())
  child.stdin.write(`${JSON.stringify(identity)}\n`)
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, port: Number(line.toString()), ca: identity.certificate }
}

function ofNode(port: number, ca: string): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 24, scheduling: 'lifo', ca })
  const send = (method: string, path: string, body?: string) =>
    new Promise<unknown>((resolve, reject) => {
      const headers: Record<string, string | number> = { accept: 'application/json' }
      if (body !== undefined) {
        headers['content-type'] = 'application/json'
        headers['content-length'] = Buffer.byteLength(body)
      }
      const options = { agent, host: '127.0.0.1', port, method, path, headers }
      const sent = request(options, (answer) => {
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('error', reject)
        answer.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString())))
      })
      sent.on('error', reject)
      sent.end(body)
    })
  return {
    create: () => send('POST', PATH, JSON.stringify(widget)),
    get: () => send('GET', `${PATH}/w`),
  }
}

function ofKube(scope: Scope, port: number, ca: string): Client {
  const terms = kubeTerms(DEFAULT_KUBE_LIMITS)
  const ledger = new Ledger(planMemory(Object.values(terms), { limitBytes: 2 ** 31 }))
  const config = { server: `https://127.0.0.1:${port}`, ca: { pem: ca } }
  const client = new KubeClient({ config, scope, ledger, terms })
  const { signal } = new AbortController()
  return {
    create: () => client.create(WIDGETS, widget, { signal }),
    get: () => client.get(WIDGETS, 'default', 'w', { signal }),
  }
}

/** CPU of this process per request, in microseconds. */
async function cpuUs(send: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage()
  let left = requests
  const worker = async () => {
    while (left-- > 0) await send()
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  const { user, system } = process.cpuUsage(before)
  return (user + system) / requests
}

const median = (times: number[]) => times.sort((a, b) => a - b)[times.length >> 1]!

const { child, port, ca } = await startServer()
const scope = new Scope('bench')
try {
  const clients = { node: ofNode(port, ca), kube: ofKube(scope, port, ca) }
  for (const what of ['create', 'get'] as const) {
    const times = { node: [] as number[], kube: [] as number[] }
    for (let round = 0; round <= rounds; round++) {
      for (const who of ['node', 'kube'] as const) {
        const us = await cpuUs(clients[who][what])
        if (round > 0) times[who].push(us) // the first compiles the code
      }
    }
    const [node, kube] = [median(times.node), median(times.kube)]
    console.log(
      `${what}: kube ${kube.toFixed(0)} us, node:https ${node.toFixed(0)} us, ratio ${(kube / node).toFixed(2)}`,
    )
  }
} finally {
  await scope.close()
  child.stdin!.end()
}
process.exit()
