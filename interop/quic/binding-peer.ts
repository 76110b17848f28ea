/**
 * The program that `startBinding` starts: an endpoint of the iroh binding for Node, with the commands and lines of the
 * Rust peer (interop/rust/README.md, `quic`). What the binding cannot do or say is left out: cipher suites, key
 * updates and error codes as numbers.
 */
import { createHash, type Hash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { fromHex, toHex } from 'weir-mesh/codec'
import {
  Endpoint,
  EndpointAddr,
  EndpointId,
  fromNative,
  type NativeConnection,
  type NativeEndpoint,
  type NativeIncoming,
  type NativeRecvStream,
  type NativeSendStream,
  presetMinimal,
  RelayMode,
  toNative,
} from '../../packages/iroh/src/binding.ts'
import { briefly } from '../../packages/iroh/src/errors.ts'

const BLOCK_BYTES = 64 * 1024
const STOP = 'stop'

const { values } = parseArgs({
  options: {
    alpn: { type: 'string', default: '' },
    bind: { type: 'string', default: '127.0.0.1:0' },
    policy: { type: 'string', default: 'accept' },
    'timeout-ms': { type: 'string', default: '60000' },
  },
})

const connections = new Map<number, NativeConnection>()
const state = { policy: values.policy, next: 0 }

function event(name: string, fields: Readonly<Record<string, unknown>> = {}): void {
  process.stdout.write(`${JSON.stringify({ event: name, ...fields })}\n`)
}

/** The texts of the binding as the lines of the Rust peer have it. */
function endOf(text: string): Readonly<Record<string, unknown>> {
  if (text === 'closed' || text.includes('LocallyClosed')) return { by: 'us' }
  const closed = /^closed by peer: (?:(.*) \(code (\d+)\)|(\d+))$/s.exec(text)
  if (closed) return { by: 'peer', code: Number(closed[2] ?? closed[3]), reason: closed[1] ?? '' }
  return { by: /aborted by peer|ConnectionClosed/.test(text) ? 'peer' : 'lost', reason: text }
}

async function decide(incoming: NativeIncoming): Promise<void> {
  const validated = await incoming.remoteAddrValidated()
  const { addr } = await incoming.remoteAddr()
  event('incoming', { validated, remote: addr })
  if (state.policy === 'refuse') return incoming.refuse()
  if (state.policy === 'ignore') return incoming.ignore()
  if (state.policy === 'retry' && !validated) return incoming.retry()
  try {
    serve(await (await incoming.accept()).connect(), false)
  } catch (error) {
    event('accept_failed', { end: endOf(briefly(error)), text: String(error).slice(0, 400) })
  }
}

function serve(native: NativeConnection, outbound: boolean): void {
  const conn = state.next++
  connections.set(conn, native)
  const remote = native.remoteId().toString()
  event('connected', { conn, outbound, remote, alpn: toHex(fromNative(native.alpn())) })
  const quiet = () => {}
  echoDatagrams(native).catch(quiet)
  swallowAll(conn, native).catch(quiet)
  echoAll(conn, native).catch(quiet)
  native.closed().then((text) => {
    connections.delete(conn)
    event('closed', { conn, end: endOf(text) })
  }, quiet)
}

async function echoDatagrams(native: NativeConnection): Promise<void> {
  for (;;) native.sendDatagram(await native.readDatagram())
}

async function swallowAll(conn: number, native: NativeConnection): Promise<void> {
  for (;;) {
    const stream = await native.acceptUni()
    const start = performance.now()
    const hash = createHash('sha256')
    read(stream, hash).then(({ bytes, end }) => {
      const ms = Math.round(performance.now() - start)
      event('received', { conn, bytes, hash: hash.digest('hex'), end, ms })
    }, fatal)
  }
}

async function echoAll(conn: number, native: NativeConnection): Promise<void> {
  for (;;) {
    const { send, recv } = await native.acceptBi()
    const hash = createHash('sha256')
    read(recv, hash, send).then(async ({ bytes, end }) => {
      const finished = await send.finish().then(
        () => true,
        () => false,
      )
      event('echoed', { conn, bytes, hash: hash.digest('hex'), end, finished })
    }, fatal)
  }
}

async function read(stream: NativeRecvStream, hash: Hash, back?: NativeSendStream) {
  let bytes = 0
  for (;;) {
    let part: Uint8Array
    try {
      part = fromNative(await stream.read(BLOCK_BYTES))
    } catch (error) {
      return { bytes, end: briefly(error) }
    }
    if (part.length === 0) return { bytes, end: 'fin' }
    hash.update(part)
    const first = bytes === 0
    bytes += part.length
    if (first && Buffer.from(part.subarray(0, STOP.length)).toString('latin1') === STOP) {
      await stream.stop(BigInt(part[STOP.length]!))
      return { bytes, end: 'fin' }
    }
    await back?.writeAll(toNative(part))
  }
}

async function write(stream: NativeSendStream, bytes: number): Promise<string> {
  const hash = createHash('sha256')
  const block = Buffer.alloc(BLOCK_BYTES)
  for (let at = 0; at < BLOCK_BYTES; at++) block[at] = (at * 31 + (at >>> 8) * 7) & 255
  for (let left = bytes; left > 0; left -= BLOCK_BYTES) {
    block.writeDoubleLE(left, 0)
    const part = block.subarray(0, Math.min(left, BLOCK_BYTES))
    hash.update(part)
    await stream.writeAll(toNative(part))
  }
  return hash.digest('hex')
}

async function obey(endpoint: NativeEndpoint, line: string): Promise<void> {
  const [command = '', first = '', second = '', ...rest] = line.split(' ')
  const conn = Number(first)
  const native = connections.get(conn)
  const start = performance.now()
  const ms = () => Math.round(performance.now() - start)
  if (command === 'policy') {
    state.policy = first
    event('policy')
  } else if (command === 'dial') {
    await dial(endpoint, first, second || values.alpn)
  } else if (!native) {
    event('bad_command', { error: `there is no connection ${first}: ${line}` })
  } else if (command === 'send') {
    try {
      const stream = await native.openUni()
      const hash = await write(stream, Number(second))
      await stream.finish()
      const stopped = await stream.stopped()
      event('sent', { conn, bytes: Number(second), hash, stopped, ms: ms() })
    } catch (error) {
      event('send_failed', { conn, error: briefly(error) })
    }
  } else if (command === 'talk') {
    const { send, recv } = await native.openBi()
    const hash = createHash('sha256')
    const reading = read(recv, hash)
    const sent = await write(send, Number(second))
    await send.finish()
    const { bytes } = await reading
    event('talked', { conn, bytes, sent, hash: hash.digest('hex'), ms: ms() })
  } else if (command === 'reset') {
    const stream = await native.openUni()
    await write(stream, Number(second))
    await stream.reset(BigInt(rest[0]!))
    event('reset', { conn })
  } else if (command === 'stats') {
    event('stats', { conn, ...native.stats() })
  } else if (command === 'close') {
    native.close(BigInt(second), toNative(Buffer.from(rest.join(' '))))
  } else event('bad_command', { error: line })
}

async function dial(endpoint: NativeEndpoint, peer: string, alpn: string): Promise<void> {
  const [id = '', address = ''] = peer.split('@')
  try {
    const addresses = address.split(',')
    const target = new EndpointAddr(EndpointId.fromBytes(toNative(fromHex(id))), null, addresses)
    serve(await endpoint.connect(target, toNative(fromHex(alpn))), true)
  } catch (error) {
    event('connect_failed', { end: endOf(briefly(error)), text: String(error).slice(0, 400) })
  }
}

function fatal(error: unknown): void {
  event('error', { error: briefly(error) })
}

async function main(): Promise<void> {
  const builder = Endpoint.builder()
  presetMinimal(builder)
  builder.relayMode(RelayMode.disabled())
  builder.alpns([toNative(fromHex(values.alpn))])
  // It opens a socket of each family whatever it is told.
  builder.bindAddr('127.0.0.1:0')
  builder.bindAddr('[::1]:0')
  const endpoint = await builder.bind()
  const six = values.bind.startsWith('[')
  const addr = endpoint.boundSockets().find((each) => each.startsWith('[') === six)
  event('ready', { id: endpoint.id().toString(), addr })
  const late = setTimeout(() => process.exit(3), Number(values['timeout-ms']))
  const accept = async () => {
    for (;;) {
      const incoming = await endpoint.acceptNext()
      if (!incoming) return
      decide(incoming).catch(fatal)
    }
  }
  accept().catch(fatal)
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'quit') break
    obey(endpoint, line).catch(fatal)
  }
  clearTimeout(late)
  // The binding waits for what was never answered; the owner of this process does not.
  setTimeout(() => process.exit(0), 500).unref()
  await endpoint.close()
  process.exit(0)
}

await main()
