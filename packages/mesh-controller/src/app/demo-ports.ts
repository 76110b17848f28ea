/**
 * Ports for the whole life of a demo, so that kubeconfigs and peers stay right when a part is started again.
 *
 * They lie below what systems hand out for outgoing connections: otherwise, while a controller is down, somebody's
 * connection could get its port. Each is free for TCP and for UDP when it is taken.
 */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { WeirError } from 'weir-mesh/runtime'

const FIRST = 20_000
const COUNT = 10_000
const TRIES_MAX = 500
const HOST = '127.0.0.1'

/** @throws {WeirError} `DEMO_NO_PORTS` when so few are free that it makes no sense to go on. */
export async function takePorts(
  count: number,
  start: number = Math.floor(Math.random() * COUNT),
): Promise<number[]> {
  const ports: number[] = []
  for (let offset = 0; offset < TRIES_MAX && ports.length < count; offset++) {
    const port = FIRST + ((start + offset) % COUNT)
    if ((await freeTcp(port)) && (await freeUdp(port))) ports.push(port)
  }
  if (ports.length === count) return ports
  throw new WeirError(
    'DEMO_NO_PORTS',
    `only ${ports.length} of ${TRIES_MAX} ports of ${HOST} are free; end what listens there and start again`,
  )
}

function freeTcp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, HOST, () => server.close(() => resolve(true)))
  })
}

function freeUdp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.once('error', () => socket.close(() => resolve(false)))
    socket.bind(port, HOST, () => socket.close(() => resolve(true)))
  })
}
