/** How the terms of the Kubernetes client are filled for `npm run costs`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type Account, type CostCase, Ledger, planMemory } from 'weir-mesh/bounds'
import { Scope, systemRandom } from 'weir-mesh/runtime'
import { makeIdentity } from '../api-server/index.ts'
import { KubeClient } from './client.ts'
import type { ClusterConfig } from './cluster-config.ts'
import { HeldBytes } from './held-bytes.ts'
import { DEFAULT_KUBE_LIMITS, kubeTerms } from './memory.ts'
import { ObjectCache } from './object-cache.ts'
import { StreamedBody } from './streamed-body.ts'
import { Transport } from './transport.ts'

const OBJECTS = 4_096
const SOCKETS = 64
const RESPONSE_BYTES = 256 * 1024
/** Key, namespace, name, uid and version of an object as in the demo. */
const NAME_BYTES = 16 + 7 + 8 + 36 + 13

const terms = kubeTerms({
  ...DEFAULT_KUBE_LIMITS,
  objectsMax: OBJECTS,
  cacheBytesMax: OBJECTS * NAME_BYTES,
  socketsMax: SOCKETS / 2,
  streamsMax: SOCKETS / 2,
  responseBytesMax: RESPONSE_BYTES,
})
const wide = kubeTerms({ ...DEFAULT_KUBE_LIMITS, socketsMax: 4_096 })
const besides = new Ledger(
  planMemory([{ ...wide.sockets, instancesMax: 64 }, wide.responses], { limitBytes: 2 ** 52 }),
)
const scope = new Scope('costs')

/** A string of its own, as one that comes from a parsed text is. */
const own = (text: string) => Buffer.from(text).toString('latin1')

function fillCache(account: Account, index: number): unknown {
  const cache = new ObjectCache<undefined>(account, () => 0)
  for (let at = 0; at < account.term.entriesMax; at++) {
    const number = String(1_000_000 + at)
    const meta = {
      namespace: own('default'),
      name: own(`w${number}`),
      uid: own(`${String(index).padStart(8, '0')}-0000-4000-8000-${number.padStart(12, '0')}`),
      resourceVersion: own(`1795547${number.slice(1)}`),
    }
    cache.set(meta, undefined, 1)
  }
  return cache
}

function fillStream(account: Account): unknown {
  account.require(0, 1)
  const held = new HeldBytes(account)
  held.append(Buffer.alloc(account.term.payloadBytesMax, 1))
  // The body has read ahead what the system hands over at once, and the reader has the chunk before it.
  const body = new StreamedBody(200, { resume() {}, destroy() {} })
  const taken = body.next()
  const record = Buffer.alloc(16 * 1024, 1)
  for (let records = 0; records < 5; records++) body.push(record)
  return [held, body, taken]
}

interface Cluster {
  readonly child: ChildProcess
  readonly config: ClusterConfig
}

/** A cluster in another process that begins an answer to each request and never ends it. */
async function cluster(scheme: 'http' | 'https'): Promise<Cluster> {
  const child = spawn(process.execPath, ['-e', CLUSTER, scheme], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const identity = scheme === 'https' ? await makeIdentity('127.0.0.1', Date.now()) : undefined
  child.stdin.write(`${JSON.stringify({ ...identity, bytes: identity ? 1 : RESPONSE_BYTES })}\n`)
  const [port] = (await once(child.stdout, 'data')) as [Buffer]
  const server = `${scheme}://127.0.0.1:${port.toString().trim()}`
  return { child, config: { server, insecureSkipTlsVerify: true } as ClusterConfig }
}

const CLUSTER = `
  process.stdin.once('data', (line) => {
    const { key, certificate: cert, bytes } = JSON.parse(line)
    const { createServer } = require(process.argv[1])
    const server = createServer({ key, cert }, (request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{' + ' '.repeat(bytes - 1))
    })
    server.listen(0, '127.0.0.1', () => console.log(server.address().port))
  })
  process.stdin.on('end', () => process.exit())
`

let secure: Promise<Cluster> | undefined
let plain: Promise<Cluster> | undefined

const common = { scope, random: systemRandom, userAgent: 'costs' } as const

/** Sockets with a request each, whose answer has begun, as those of a watch. */
async function fillSockets(sockets: Account): Promise<unknown> {
  secure ??= cluster('https')
  const { config } = await secure
  const transport = new Transport({ ...common, config, sockets })
  const answers: unknown[] = [transport]
  for (let at = 0; at < SOCKETS; at++) {
    answers.push(await transport.open({ method: 'GET', path: `/${at}` }, sockets))
  }
  return answers
}

let client: KubeClient | undefined
let handed: Account | undefined

/** A request whose answer has come but for its end. */
async function fillResponses(account: Account): Promise<unknown> {
  plain ??= cluster('http')
  const { config } = await plain
  const sockets = [...besides.plan.rows].map(({ term }) => term)
  client ??= new KubeClient({
    ...common,
    config,
    ledger: {
      open: () => handed,
      require: () => besides.require(sockets.find(({ name }) => name === 'kube.sockets')!),
    } as unknown as Ledger,
    terms,
  })
  handed = account
  const answer = client.json({ method: 'GET', path: '/api', deadlineMs: 3_600_000 })
  answer.catch(() => {})
  while (account.bytes < account.term.payloadBytesMax) {
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return [answer]
}

/** The socket of a request is in a term of its own. */
async function besideResponses(): Promise<unknown> {
  plain ??= cluster('http')
  const { config } = await plain
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(config.server).port) })
  await once(socket, 'connect')
  return [socket]
}

export const costs: readonly CostCase[] = Object.freeze([
  { term: terms.cache, fill: fillCache },
  { term: terms.streams, fill: fillStream },
  { term: terms.responses, fill: fillResponses, beside: besideResponses, instances: 48 },
  { term: terms.sockets, fill: fillSockets, instances: 12, warmUps: 4 },
])
