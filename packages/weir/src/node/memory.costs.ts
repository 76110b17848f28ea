/** How the terms of a node are filled for `npm run costs`. */
import type { Account, CostCase, Ledger } from '../bounds/index.ts'
import type { NodeId } from '../core/index.ts'
import { Scope } from '../runtime/index.ts'
import type { CloseInfo, Connection, Endpoint } from '../transport/index.ts'
import { AcceptLoop } from './accept-loop.ts'
import { type AcceptTerms, acceptTerms } from './memory.ts'

const terms = acceptTerms({ handshakesMax: 64, peersMax: 1_024 })
const PROTOCOL = new Uint8Array(32)
const never = new Promise<never>(() => {})
const scope = new Scope('costs')

/** A loop to which the accounts of one term are handed, and that takes these incomings. */
async function loop(
  measured: Partial<Record<keyof AcceptTerms, Account>>,
  count: number,
  accept: (at: number) => Promise<Connection>,
): Promise<unknown> {
  const spare = {
    term: { entriesMax: count, table: 'map' },
    take: () => 'ok',
    give() {},
    [Symbol.dispose]() {},
  }
  const ledger = {
    require: (term: AcceptTerms[keyof AcceptTerms]) =>
      (term === terms.peers ? measured.peers : measured.handshakes) ?? spare,
  } as unknown as Ledger
  async function* incomings() {
    for (let at = 0; at < count; at++) yield { remote: '', accept: () => accept(at) }
    await never
  }
  const endpoint = { incoming: incomings() as AsyncIterable<unknown> } as unknown as Endpoint
  const accepting = new AcceptLoop({
    scope,
    endpoint,
    handlers: [{ protocol: PROTOCOL, accept() {} }],
    policy: () => 'accept',
    caps: { ledger, terms, perPeerMax: 4 },
  })
  await new Promise((resolve) => setTimeout(resolve, 20))
  return accepting
}

const fillHandshakes = (handshakes: Account): Promise<unknown> =>
  loop({ handshakes }, handshakes.term.entriesMax, () => never)

/** Each peer with one connection, which tells its peer's entry when it ends. */
const fillPeers = (peers: Account, index: number): Promise<unknown> => {
  const ends: ((info: CloseInfo) => void)[] = []
  return loop({ peers }, peers.term.entriesMax, async (at) => {
    const nodeId = new Uint8Array(32) as NodeId
    new DataView(nodeId.buffer).setUint32(0, index)
    new DataView(nodeId.buffer).setUint32(4, at)
    const closed = new Promise<CloseInfo>((resolve) => ends.push(resolve))
    return { nodeId, protocol: PROTOCOL, closed, close() {} } as unknown as Connection
  })
}

export const costs: readonly CostCase[] = Object.freeze([
  { term: terms.handshakes, fill: fillHandshakes },
  { term: terms.peers, fill: fillPeers },
])
