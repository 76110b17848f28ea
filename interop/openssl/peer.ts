/**
 * The program that `startOpenssl` starts: a QUIC endpoint of OpenSSL with the commands and lines of the Rust peer
 * (interop/rust/README.md, `quic`). What OpenSSL cannot do is left out: messages, stopping a stream with a code, and
 * deciding on who asks; it has `update CONN` for its keys, `--retry off`, and `--groups LIST`.
 */
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { closeInfo, OpensslConnection } from './connection.ts'
import { OpensslEndpoint } from './endpoint.ts'
import { loadOpenssl } from './library.ts'

const SUITES: Readonly<Record<string, string>> = Object.freeze({
  all: 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256',
  aes: 'TLS_AES_128_GCM_SHA256',
  chacha: 'TLS_CHACHA20_POLY1305_SHA256',
})
const IDLE_POLL_MS = 1
const QUIT_MS = 300

const { values } = parseArgs({
  options: {
    alpn: { type: 'string', default: '' },
    suite: { type: 'string', default: 'all' },
    groups: { type: 'string' },
    retry: { type: 'string', default: 'on' },
    'timeout-ms': { type: 'string', default: '60000' },
  },
})

function event(name: string, fields: Readonly<Record<string, unknown>> = {}): void {
  process.stdout.write(`${JSON.stringify({ event: name, ...fields })}\n`)
}

const openssl = loadOpenssl()
const endpoint = new OpensslEndpoint(openssl, {
  seed: randomBytes(32),
  protocol: Buffer.from(values.alpn, 'hex'),
  suites: SUITES[values.suite]!,
  groups: values.groups,
  retry: values.retry === 'on',
})

interface Handshake {
  readonly pointer: bigint
  readonly outbound: boolean
  /** Whom we dialled, as hex. */
  readonly expected: string | undefined
}

const handshakes = new Set<Handshake>()
const connections = new Map<number, OpensslConnection>()
const state = { next: 0, over: false }

function poll(): void {
  if (state.over) return
  endpoint.handleEvents()
  for (let pointer = endpoint.accept(); pointer !== 0n; pointer = endpoint.accept()) {
    handshakes.add({ pointer, outbound: false, expected: undefined })
  }
  for (const each of handshakes) advance(each)
  let busy = handshakes.size > 0
  for (const [conn, connection] of connections) {
    if (connection.step()) busy = true
    if (connection.over) connections.delete(conn)
  }
  if (busy) setImmediate(poll)
  else setTimeout(poll, IDLE_POLL_MS)
}

function advance(handshake: Handshake): void {
  const { pointer, outbound, expected } = handshake
  const through = endpoint.handshake(pointer)
  if (through === false) return
  handshakes.delete(handshake)
  const remote = endpoint.remote(pointer).toString('hex')
  if (through === undefined || (expected !== undefined && expected !== remote)) {
    const end = closeInfo(openssl, pointer) ?? { by: 'lost', reason: 'no close' }
    const name = outbound ? 'connect_failed' : 'accept_failed'
    return event(name, { end, text: endpoint.errors().slice(0, 400) })
  }
  const conn = state.next++
  connections.set(conn, new OpensslConnection(openssl, pointer, conn, event))
  const alpn = endpoint.protocolOf(pointer).toString('hex')
  event('connected', { conn, outbound, remote, alpn })
}

function obey(line: string): void {
  const [command = '', first = '', second = '', ...rest] = line.split(' ')
  if (command === 'dial') return dial(first, second || values.alpn)
  const connection = connections.get(Number(first))
  if (!connection) return event('bad_command', { error: `there is no connection ${first}` })
  if (command === 'send') connection.send(Number(second))
  else if (command === 'talk') connection.talk(Number(second))
  else if (command === 'reset') connection.reset(Number(second), BigInt(rest[0]!))
  else if (command === 'close') connection.close(BigInt(second), rest.join(' '))
  else if (command === 'update') event('updated', { ok: connection.updateKeys() })
  else event('bad_command', { error: line })
}

function dial(peer: string, alpn: string): void {
  const [expected = '', address = ''] = peer.split('@')
  const [host = '', port = ''] = address.split(':')
  const pointer = endpoint.dial(host, Number(port), Buffer.from(alpn, 'hex'))
  handshakes.add({ pointer, outbound: true, expected })
}

const late = setTimeout(() => process.exit(3), Number(values['timeout-ms']))
event('ready', { id: endpoint.id.toString('hex'), addr: `127.0.0.1:${endpoint.port}` })
poll()
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'quit') break
  obey(line)
}
clearTimeout(late)
for (const connection of connections.values()) connection.close(0n, '')
// The last packets go while it is polled.
setTimeout(() => process.exit(0), QUIT_MS)
