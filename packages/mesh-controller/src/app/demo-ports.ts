/**
 * Ports for the whole life of a demo, so that kubeconfigs and peers stay right when a part is started again.
 *
 * They lie below what systems hand out for outgoing connections: otherwise, while a controller is down, somebody's
 * connection could get its port. Each is free for TCP and for UDP when it is taken.
 *
 * The rule that must hold: two callers, also in two processes, never get the same port, although nobody listens on it
 * yet. So ports are taken in blocks, and the first port of a block is listened on as long as the process lives: the
 * system gives it back however the process ends, which it would not do with a file.
 *
 * Memory: one listening socket per call, until the process ends.
 */
import { createSocket } from 'node:dgram'
import { createServer, type Server } from 'node:net'
import { WeirError } from 'weir-mesh/runtime'

const FIRST = 20_000
const BLOCK = 20
const BLOCKS = 500
const LAST = FIRST + BLOCKS * BLOCK - 1
/** The first port of a block is its lock. */
const PORTS_MAX = BLOCK - 1
const HOST = '127.0.0.1'

export interface PortOptions {
  /** The block that is looked at first, 0 to 499. Default: by chance. */
  readonly block?: number
  /** How many blocks are looked at. Default: all. */
  readonly blocks?: number
}

/**
 * @param count At most 19.
 * @throws {WeirError} `DEMO_NO_PORTS` when no block has as many free ports.
 */
export async function takePorts(count: number, options: PortOptions = {}): Promise<number[]> {
  const { block = Math.floor(Math.random() * BLOCKS), blocks = BLOCKS } = options
  for (let offset = 0; offset < blocks; offset++) {
    const first = FIRST + ((block + offset) % BLOCKS) * BLOCK
    const lock = await listen(first)
    if (lock === undefined) continue
    const ports = await freePorts(first + 1, count)
    if (ports.length === count) return ports
    await close(lock)
  }
  throw new WeirError(
    'DEMO_NO_PORTS',
    `${HOST} has no ${count} free ports near each other from ${FIRST} to ${LAST}; end what listens there and start again`,
  )
}

/** The first of a block that are free. */
async function freePorts(first: number, count: number): Promise<number[]> {
  const ports: number[] = []
  for (let port = first; port < first + PORTS_MAX && ports.length < count; port++) {
    if ((await freeTcp(port)) && (await freeUdp(port))) ports.push(port)
  }
  return ports
}

/** A socket that nobody talks to and that keeps no process alive; undefined when the port is taken. */
function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy())
    server.unref()
    server.once('error', () => resolve(undefined))
    server.listen({ port, host: HOST, exclusive: true }, () => resolve(server))
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}

async function freeTcp(port: number): Promise<boolean> {
  const server = await listen(port)
  if (server) await close(server)
  return server !== undefined
}

function freeUdp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.once('error', () => socket.close(() => resolve(false)))
    socket.bind(port, HOST, () => socket.close(() => resolve(true)))
  })
}
