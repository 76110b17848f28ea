/** What the tests against each kind of peer share: the kinds, the two roles, and one peer for the tests of a file. */
import test, { after, before, beforeEach, type TestContext } from 'node:test'
import { toHex } from 'weir-mesh/codec'
import type { NodeId } from 'weir-mesh/core'
import type { Address, Connection } from 'weir-mesh/transport'
import { SKIPPED } from '../rust-peer.ts'
import { type PeerLine, QuicPeer, type Start, startBinding, startRust } from './peer.ts'
import { PROTOCOL_HEX, type Weir } from './weir-end.ts'

export interface Kind {
  readonly name: string
  readonly start: Start
  /** Why its tests do not run, or false when they do. */
  readonly skip: string | false
  /** Whether it tells error codes and lets itself be told when to update keys; the binding does not. */
  readonly precise: boolean
}

export const RUST: Kind = Object.freeze({
  name: 'iroh 1.4.1',
  start: startRust,
  skip: SKIPPED,
  precise: true,
})

export const BINDING: Kind = Object.freeze({
  name: 'iroh 1.0.2 (the binding)',
  start: startBinding,
  skip: false,
  precise: false,
})

/** Why the long tests that need no cargo do not run, or false when they do. */
export const LONG: string | false =
  process.env['WEIR_INTEROP_LONG'] === undefined ? '`npm run interop` runs what takes long' : false

export type Role = 'dials' | 'is dialled'
export const ROLES: readonly Role[] = Object.freeze(['dials', 'is dialled'])

/** Registers a test for each role of ours. */
export type Check = (
  what: string,
  run: (role: Role, t: TestContext) => Promise<void>,
  roles?: readonly Role[],
) => void

export function checkOf(kind: Kind, timeout = 60_000): Check {
  return (what, run, roles = ROLES) => {
    for (const role of roles) {
      test(`${kind.name}: Weir ${role}: ${what}`, { skip: kind.skip, timeout }, (t) => run(role, t))
    }
  }
}

/** Gives the peer while the tests run. */
export type SharedPeer = () => QuicPeer

/** One peer for all tests of a file, there while they run. */
export function sharedPeer(kind: Kind, options: Readonly<Record<string, string>> = {}): SharedPeer {
  let peer: QuicPeer | undefined
  before(async () => {
    if (kind.skip !== false) return
    peer = await QuicPeer.start(kind.start, { alpn: PROTOCOL_HEX, ...options })
  })
  // What the tests before did not ask for must not answer this one.
  beforeEach(() => peer?.forget())
  after(async () => {
    await peer?.[Symbol.asyncDispose]()
  })
  return () => peer!
}

/** A connection, and its number at the peer. */
export interface Pair {
  readonly connection: Connection
  readonly conn: number
}

/** Connects the two in the given role of ours; over `address` when it is another than that of who is dialled. */
export async function connect(
  role: Role,
  weir: Weir,
  peer: QuicPeer,
  address?: Address,
): Promise<Pair> {
  if (role === 'dials') {
    const connected = connectedTo(weir, peer)
    const connection = await weir.dial(peer.nodeId, address ?? peer.address)
    return { connection, conn: (await connected).conn! }
  }
  const connected = connectedTo(weir, peer)
  peer.dial(weir.nodeId, address ?? weir.address)
  const connection = await (await weir.incoming()).accept()
  return { connection, conn: (await connected).conn! }
}

/** What the peer says when its handshake with this endpoint of ours is through. */
export function connectedTo(weir: Weir, peer: QuicPeer): Promise<PeerLine> {
  const id = toHex(weir.nodeId)
  return peer.take('connected', ({ remote }) => remote === id)
}

/** Another key than that of anybody here. */
export const STRANGER: NodeId = new Uint8Array(32).fill(0x66).with(0, 0x58) as NodeId
