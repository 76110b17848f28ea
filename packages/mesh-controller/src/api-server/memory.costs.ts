/** How the terms of the embedded API are filled for `npm run costs`. */
import { ServerResponse } from 'node:http'
import { Duplex } from 'node:stream'
import {
  type Account,
  type CostCase,
  Ledger,
  planMemory,
  RingQueue,
  type Term,
} from 'weir-mesh/bounds'
import { ManualClock, Scope, seededRandom } from 'weir-mesh/runtime'
import { silentClients } from '../../../weir/testing/silent-clients.ts'
import type { JsonObject } from '../kube/index.ts'
import { type Identity, makeIdentity } from './certificate.ts'
import { kindsOf } from './definitions.ts'
import { type ApiTerms, apiTerms, DEFAULT_API_LIMITS } from './memory.ts'
import { OrderedMap } from './ordered-map.ts'
import { Registry } from './registry.ts'
import { PIECE_BYTES, Sender } from './sender.ts'
import { ApiServer } from './server.ts'
import type { Change, Stored } from './store.ts'

const OBJECTS = 2_048
const TEXT_BYTES = 512
const KEY_BYTES = 34
const UID_BYTES = 36
const KINDS = 32
const CLIENTS = 64
const BODY_BYTES = 120 * 1024
const LINE_BYTES = 512
/** What a kind below is charged for its schema. */
const SCHEMA_BYTES = 2 * 2_432

const terms = apiTerms({
  ...DEFAULT_API_LIMITS,
  objectsMax: OBJECTS,
  objectBytesMax: OBJECTS * (TEXT_BYTES + KEY_BYTES + UID_BYTES),
  historyMax: OBJECTS,
  historyBytesMax: OBJECTS * (TEXT_BYTES + KEY_BYTES),
  kindsMax: KINDS,
  schemaBytesMax: (KINDS - 3) * SCHEMA_BYTES,
  connectionsMax: CLIENTS,
  watchersMax: CLIENTS,
  requestBytesMax: BODY_BYTES,
  outgoingBytesMax: 1024 * 1024,
})
/** For servers of which one account is measured. */
const besides = new Ledger(
  planMemory(
    Object.values(terms).map((term) => ({ ...term, instancesMax: 4_096, pool: undefined })),
    { limitBytes: Number.MAX_SAFE_INTEGER },
  ),
)
const scope = new Scope('costs')

/** A string of its own, as one that was written by `JSON.stringify` is. */
const own = (text: string, length: number) =>
  Buffer.from(text.padEnd(length, 'x')).toString('latin1')

function fillObjects(account: Account, index: number): unknown {
  const map = new OrderedMap<Stored>(account, {
    random: seededRandom(index),
    bytesOf: (key, stored) => key.length + stored.text.length + stored.uid.length,
  })
  for (let at = 0; at < account.term.entriesMax; at++) {
    const stored: Stored = {
      text: own(`${index} ${at}`, TEXT_BYTES),
      revision: 1.5e12 + at,
      uid: own(`${index}-${at}`, UID_BYTES),
    }
    map.set(own(`demo.weir.example/widgets/${at}`, KEY_BYTES), stored)
  }
  return map
}

function fillHistory(account: Account, index: number): unknown {
  const ring = new RingQueue<Change>(account, {
    bytesOf: (change) => change.text.length + change.key.length,
  })
  for (let at = 0; at < account.term.entriesMax; at++) {
    ring.push({
      revision: 1.5e12 + at,
      type: 'ADDED',
      key: own(`demo.weir.example/widgets/${at}`, KEY_BYTES),
      text: own(`${index} ${at}`, TEXT_BYTES),
    })
  }
  return ring
}

/** A definition with thirty fields, each with three constraints: larger than most. */
function definition(name: string): JsonObject {
  const fields: JsonObject = {}
  for (let field = 0; field < 30; field++) {
    fields[`field${field}`] = { type: 'string', minLength: 1, maxLength: 100, pattern: '^[a-z]+$' }
  }
  return {
    metadata: { name: `${name}s.demo.weir.example` },
    spec: {
      group: 'demo.weir.example',
      scope: 'Namespaced',
      names: { plural: `${name}s`, singular: name, kind: name, listKind: `${name}List` },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: { spec: { type: 'object', properties: fields } },
            },
          },
        },
      ],
    },
  }
}

function fillKinds(account: Account, index: number): unknown {
  const registry = new Registry(account)
  for (let at = account.entries; at < account.term.entriesMax; at++) {
    for (const served of kindsOf(definition(`kind${index}x${at}`))) {
      registry.add(served)
      // Compiled to machine-readable code only when it first runs, on both of its ways.
      served.validate({ spec: { field0: 'abc' } })
      served.validate({ spec: { field0: 1, field1: '', field2: '!'.repeat(200) } })
    }
  }
  return registry
}

/** A server that has this account for its term, and others as they are. */
async function server(
  measured: Partial<Record<keyof ApiTerms, Account>> = {},
  open?: () => Account | undefined,
): Promise<ApiServer> {
  identity ??= makeIdentity('127.0.0.1', Date.now())
  const names = Object.keys(terms) as (keyof ApiTerms)[]
  const all = besides.plan.rows.map(({ term }) => term)
  const give = (term: ApiTerms[keyof ApiTerms]) =>
    measured[names.find((name) => terms[name] === term)!] ??
    besides.require(all.find(({ name }) => name === term.name)!)
  const ledger = {
    require: give,
    open: (term: Term) => open?.() ?? give(term),
  } as unknown as Ledger
  return ApiServer.open({ scope, ledger, terms, identity: await identity, token: TOKEN })
}

let identity: Promise<Identity> | undefined
const TOKEN = 'costs'

const clientsOf = ({ url }: ApiServer, count: number, words?: string): Promise<unknown> =>
  silentClients({
    port: Number(new URL(url).port),
    count,
    tls: true,
    ...(words === undefined ? {} : { words }),
  })

const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2))
}

async function fillConnections(connections: Account): Promise<unknown> {
  const api = await server({ connections })
  const clients = await clientsOf(api, CLIENTS)
  await until(() => connections.entries === CLIENTS)
  return [api, clients]
}

const head = (line: string): string =>
  `${line} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${TOKEN}\r\nUser-Agent: costs\r\n`
/** After a request a connection may be idle for longer. */
const ONCE = `${head('GET /livez')}\r\n`
const WATCH = `${head('GET /api/v1/namespaces?watch=1&allowWatchBookmarks=true')}\r\n`

async function fillWatchers(watchers: Account): Promise<unknown> {
  const api = await server({ watchers })
  const clients = await clientsOf(api, CLIENTS, WATCH)
  await until(() => watchers.entries === CLIENTS)
  return [api, clients]
}

async function besideWatchers(): Promise<unknown> {
  const connections = besides.require(besides.plan.rows.find(isConnections)!.term)
  const api = await server({ connections })
  const clients = await clientsOf(api, CLIENTS, ONCE)
  await until(() => connections.entries === CLIENTS)
  return [api, clients]
}

const isConnections = ({ term }: { readonly term: { readonly name: string } }): boolean =>
  term.name === terms.connections.name

const POST = head('POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions')
const WIDE_EVERY = 4_096
/** All but the last byte of a body; now and then a character for which V8 takes two bytes for every other one as well. */
const BODY = `€${' '.repeat(WIDE_EVERY - 3)}`.repeat(BODY_BYTES / WIDE_EVERY).slice(0, -1)

/** Bodies that have come but for their last byte, all at one server. */
async function fillRequests(account: Account): Promise<unknown> {
  api ??= server({}, () => requested)
  requested = account
  const sizes = `Content-Type: application/json\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`
  const clients = await clientsOf(await api, 1, POST + sizes + BODY)
  await until(() => account.bytes === 2 * BODY.length)
  return clients
}

let api: Promise<ApiServer> | undefined
let requested: Account | undefined

async function besideRequests(): Promise<unknown> {
  requested = undefined
  return clientsOf(await api!, 1, ONCE)
}

/** A client that takes nothing. */
function stuck(): ServerResponse {
  const response = new ServerResponse({ method: 'GET', httpVersionMajor: 1 } as never)
  response.assignSocket(new Duplex({ read() {}, write() {} }) as never)
  response.flushHeaders()
  return response
}

/** Lines of a watch: each is a piece of its own. */
function fillOutgoing(account: Account): unknown {
  const held: unknown[] = []
  const line = own('{', LINE_BYTES)
  const patience = { clock: new ManualClock(), stuckMs: 30_000, onStuck() {} }
  while (account.freeBytes >= LINE_BYTES + PIECE_BYTES) {
    const sender = new Sender(stuck(), account, patience)
    while (sender.ready && sender.write(line));
    held.push(sender)
  }
  return held
}

export const costs: readonly CostCase[] = Object.freeze([
  { term: terms.objects, fill: fillObjects },
  { term: terms.history, fill: fillHistory },
  { term: terms.kinds, fill: fillKinds },
  { term: terms.outgoing, variant: 'lines of watches', fill: fillOutgoing, instances: 8 },
  {
    term: terms.connections,
    fill: fillConnections,
    beside: () => server(),
    instances: 4,
    warmUps: 1,
  },
  { term: terms.watchers, fill: fillWatchers, beside: besideWatchers, instances: 3 },
  { term: terms.requests, fill: fillRequests, beside: besideRequests, instances: 12 },
])
