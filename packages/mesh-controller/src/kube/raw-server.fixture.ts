/** A server for tests that does to its clients whatever the test says, byte by byte, and clients for it. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import type { Account, Ledger } from 'weir-mesh/bounds'
import { type Clock, type Random, type Scope, seededRandom } from 'weir-mesh/runtime'
import { withLedger } from '../../../weir/testing/index.ts'
import type { ClusterConfig } from './cluster-config.ts'
import { DEFAULT_KUBE_LIMITS, type KubeLimits, kubeTerms } from './memory.ts'
import { type RequestFault, Transport } from './transport.ts'

/** Called for each request that has come as a whole, as text; `count` is the connection, from 0. */
export type Answerer = (request: string, socket: Socket, count: number) => void

export interface RawServer {
  readonly url: string
  readonly port: number
  /** Connections that were made, and those that are open. */
  readonly connections: number
  readonly open: number
  /** The connection that was made last. */
  readonly last: Socket
}

/** Runs a server of plain TCP, or of TLS when a certificate is given. */
export async function withRawServer(
  answer: Answerer,
  run: (server: RawServer) => Promise<void>,
  options: { readonly tls?: TlsOptions; readonly host?: string; readonly urlHost?: string } = {},
): Promise<void> {
  const sockets = new Set<Socket>()
  let connections = 0
  const serve = (socket: Socket) => {
    const count = connections++
    sockets.add(socket)
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      for (let next = takeRequest(text); next; next = takeRequest(text)) {
        text = text.slice(next.length)
        answer(next, socket, count)
      }
    })
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {}) // a client may go as it likes
  }
  const server: Server = options.tls ? createTlsServer(options.tls, serve) : createServer(serve)
  server.on('tlsClientError', () => {})
  const host = options.host ?? '127.0.0.1'
  server.listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    await run({
      url: `${options.tls ? 'https' : 'http'}://${options.urlHost ?? host}:${port}`,
      port,
      get connections() {
        return connections
      },
      get open() {
        return sockets.size
      },
      get last() {
        return [...sockets].at(-1) as Socket
      },
    })
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
}

/** The first request in a text, undefined while it is not complete. */
function takeRequest(text: string): string | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const length = Number(/\r\ncontent-length: (\d+)/.exec(text.slice(0, end))?.[1] ?? '0')
  const size = end + 4 + length
  return text.length >= size ? text.slice(0, size) : undefined
}

/** An answer with a length. */
export function withLength(body: string, head = ''): string {
  return `HTTP/1.1 200 OK\r\n${head}content-length: ${body.length}\r\n\r\n${body}`
}

export interface Wire {
  readonly transport: Transport
  /** Of a request. */
  readonly account: Account
  /** Of a stream. */
  readonly stream: Account
  readonly scope: Scope
  readonly ledger: Ledger
}

export interface WireOptions {
  readonly limits?: Partial<KubeLimits>
  readonly clock?: Clock
  readonly fault?: RequestFault
  readonly userAgent?: string
  readonly random?: Random
}

/** A transport alone, without the client above it; the ledger must be empty in the end, and no timer left. */
export async function withTransport(
  config: ClusterConfig,
  run: (wire: Wire) => Promise<void>,
  options: WireOptions = {},
): Promise<void> {
  const terms = kubeTerms({ ...DEFAULT_KUBE_LIMITS, ...options.limits })
  const check = async (ledger: Ledger, scope: Scope) => {
    const transport = new Transport({
      config,
      scope,
      random: options.random ?? seededRandom(1),
      sockets: ledger.require(terms.sockets),
      userAgent: options.userAgent ?? 'test',
      ...(options.fault ? { fault: options.fault } : {}),
    })
    const account = ledger.require(terms.responses)
    const stream = ledger.require(terms.streams)
    scope.defer('accounts', () => {
      for (const each of [account, stream]) {
        each.give(each.bytes)
        each[Symbol.dispose]()
      }
    })
    await run({ transport, account, stream, scope, ledger })
  }
  await withLedger(Object.values(terms), check, options.clock ? { clock: options.clock } : {})
}
