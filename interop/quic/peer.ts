/**
 * An iroh endpoint in a process of its own: the Rust program of `interop/rust`, or the binding for Node. Both take the
 * same commands on stdin and print the same JSON lines, see interop/rust/README.md under `quic`.
 *
 * It never outlives its owner: closing says `quit` and kills it by its id when it does not go; when this process
 * dies, the end of its stdin ends it.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { toHex } from 'weir-mesh/codec'
import { type NodeId, nodeIdFromHex } from 'weir-mesh/core'
import type { Address } from 'weir-mesh/transport'
import { PEER_PROGRAM } from '../rust-peer.ts'

/** How a program is started; `words` are its options. */
export type Start = (words: readonly string[]) => ChildProcess

export const startRust: Start = (words) => {
  assert.ok(PEER_PROGRAM, 'the Rust peer has not been built')
  return spawn(PEER_PROGRAM, ['quic', ...words], { stdio: ['pipe', 'pipe', 'pipe'] })
}

export const startBinding: Start = (words) => {
  const program = join(import.meta.dirname, 'binding-peer.ts')
  const node = ['--conditions=weir-source', program, ...words]
  return spawn(process.execPath, node, { stdio: ['pipe', 'pipe', 'pipe'] })
}

/** How a connection or a handshake ended, as the peer tells it. */
export interface PeerEnd {
  readonly by: 'us' | 'peer' | 'lost'
  /** Application code. */
  readonly code?: number
  /** Error code of QUIC; 0x100 and the alert for one of TLS. */
  readonly transport?: number
  readonly reason?: string
}

export interface PeerLine {
  readonly event: string
  readonly conn?: number
  readonly end?: PeerEnd | string
  readonly hash?: string
  readonly bytes?: number
  /** Whether the address of an incoming one was proved. */
  readonly validated?: boolean
  readonly [field: string]: unknown
}

const QUIT_MS = 3_000
const LINE_MS = 60_000

interface Waiter {
  readonly event: string
  readonly fits: (line: PeerLine) => boolean
  readonly take: (line: PeerLine) => void
  readonly fail: (error: Error) => void
}

export class QuicPeer implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #gone: Promise<void>
  /** Lines that nobody has asked for. */
  readonly #lines: PeerLine[] = []
  readonly #waiters = new Set<Waiter>()
  #errors = ''
  #over = false
  #id = ''
  #address: Address = ''

  /** An option without a value is a flag. */
  static async start(start: Start, options: Readonly<Record<string, string>>): Promise<QuicPeer> {
    const words = Object.entries({ 'timeout-ms': '180000', ...options })
    const peer = new QuicPeer(
      start(
        words.flatMap(([name, value]) => (value === '' ? [`--${name}`] : [`--${name}`, value])),
      ),
    )
    const ready = await peer.take('ready')
    peer.#id = ready['id'] as string
    peer.#address = ready['addr'] as string
    return peer
  }

  private constructor(child: ChildProcess) {
    this.#child = child
    child.stdin!.on('error', () => {})
    child.stderr!.on('data', (chunk) => {
      this.#errors = (this.#errors + chunk).slice(-4_000)
    })
    const lines = createInterface({ input: child.stdout! })
    lines.on('line', (text) => this.#heard(JSON.parse(text) as PeerLine))
    this.#gone = new Promise((resolve) => {
      child.once('error', () => resolve())
      child.once('exit', () => resolve())
    })
    lines.once('close', () => {
      this.#over = true
      for (const waiter of this.#waiters) waiter.fail(this.#missed(waiter.event))
    })
  }

  get nodeId(): NodeId {
    return nodeIdFromHex(this.#id)
  }

  get address(): Address {
    return this.#address
  }

  /** The next line of this kind that fits; each is given once. */
  take(event: string, fits: (line: PeerLine) => boolean = () => true): Promise<PeerLine> {
    const at = this.#lines.findIndex((line) => line.event === event && fits(line))
    if (at >= 0) return Promise.resolve(this.#lines.splice(at, 1)[0]!)
    return new Promise((resolve, reject) => {
      if (this.#over) return reject(this.#missed(event))
      const done = () => {
        clearTimeout(late)
        this.#waiters.delete(waiter)
      }
      const waiter: Waiter = {
        event,
        fits,
        take: (line) => {
          done()
          resolve(line)
        },
        fail: (error) => {
          done()
          reject(error)
        },
      }
      const late = setTimeout(() => waiter.fail(this.#missed(event)), LINE_MS)
      this.#waiters.add(waiter)
    })
  }

  /** Drops the lines that nobody has asked for. */
  forget(): void {
    this.#lines.length = 0
  }

  say(command: string): void {
    this.#child.stdin!.write(`${command}\n`)
  }

  /** What it does from now on with who asks for a connection. */
  async policy(policy: 'accept' | 'refuse' | 'retry' | 'ignore'): Promise<void> {
    this.say(`policy ${policy}`)
    await this.take('policy')
  }

  /** Makes it dial; `connected` or `connect_failed` follows. */
  dial(node: NodeId, address: Address, protocol?: Uint8Array): void {
    this.say(`dial ${toHex(node)}@${address}${protocol ? ` ${toHex(protocol)}` : ''}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin!.end('quit\n')
    const late = setTimeout(() => this.#child.kill('SIGKILL'), QUIT_MS)
    await this.#gone
    clearTimeout(late)
  }

  #heard(line: PeerLine): void {
    for (const waiter of this.#waiters) {
      if (waiter.event === line.event && waiter.fits(line)) return waiter.take(line)
    }
    this.#lines.push(line)
  }

  #missed(event: string): Error {
    const lines = JSON.stringify(this.#lines.slice(-8))
    return new Error(`the peer said no '${event}'; it said ${lines} ${this.#errors}`)
  }
}
