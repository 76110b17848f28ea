/** How the terms of sync are filled for `npm run costs`. */
import {
  type Account,
  BoundedMap,
  type CostCase,
  IdSet,
  Ledger,
  planMemory,
} from '../bounds/index.ts'
import { hashId, nodeId, topicId } from '../core/index.ts'
import { Tickets } from '../machine/index.ts'
import { Backoff, Counters, instant, seededRandom } from '../runtime/index.ts'
import { syncCounters } from './counters.ts'
import { TOPIC } from './fixtures.ts'
import { flowCosts } from './flow.costs.ts'
import { GossipBuffer, type Holdable } from './gossip-buffer.ts'
import { syncLimits } from './limits.ts'
import { LogTable } from './log-table.ts'
import { syncTerms } from './memory.ts'
import { Peer } from './peer.ts'
import { topicStreamPolicy } from './policy.ts'
import { Session } from './session-machine.ts'
import { Shared } from './shared.ts'
import { shellCosts } from './shell.costs.ts'

/** Accounts beside the one that is measured come from a ledger of their own. */
const wide = syncTerms(syncLimits({ topicsMax: 4_096, peersMax: 64 }))
const besides = new Ledger(planMemory(Object.values(wide), { limitBytes: 2 ** 52 }))

const id = (index: number, at: number): Uint8Array => {
  const bytes = new Uint8Array(32)
  new DataView(bytes.buffer).setUint32(0, index)
  new DataView(bytes.buffer).setUint32(4, at)
  return bytes
}

const limits = syncLimits()
const terms = syncTerms(limits)
const held = Object.freeze({ logKey: '', seq: 0, bytes: 0 })
const random = seededRandom(1)

function shared(table: LogTable): Shared {
  const seen = new IdSet(besides.require(wide.seen), seededRandom(1))
  const tickets = new Tickets()
  const counters = syncCounters(new Counters())
  const policy = topicStreamPolicy(TOPIC)
  const self = nodeId(id(0, 0))
  const common = { topic: TOPIC, self, policy, limits, terms, ledger: besides }
  return new Shared({ ...common, counters, tickets, table, seen })
}

function fillLogs(account: Account, index: number): unknown {
  const table = new LogTable(account, () => {})
  for (let at = 0; at < account.term.entriesMax; at++)
    table.row(id(index, at), id(at, index), false)
  return table
}

function fillPeers(account: Account, index: number): unknown {
  const peers = new BoundedMap<string, Peer>(account)
  for (let at = 0; at < account.term.entriesMax; at++) {
    const bytes = nodeId(id(index, at))
    const peer = new Peer(
      bytes,
      `${Buffer.from(bytes).toString('latin1')}`,
      limits.logsMax,
      besides.require(wide.live),
    )
    peers.set(peer.key, peer)
  }
  return peers
}

const sessionPeer = new Peer(nodeId(id(1, 1)), 'peer', limits.logsMax, besides.require(wide.live))
const sessionShared = shared(new LogTable(besides.require(wide.logs), () => {}))
sessionShared.now = instant(0)

function fillSessions(account: Account): unknown {
  const sessions = new BoundedMap<number, unknown>(account)
  for (let at = 0; at < account.term.entriesMax; at++) {
    const send = besides.require(wide.send)
    const session = new Session(sessionShared, undefined as never, send, at, sessionPeer, false)
    // What a session in its initial sync has beside itself: three numbers per log.
    const heights = [0, 1, 2].map(() => new Uint32Array(limits.logsMax))
    sessions.set(at, { session, heights })
  }
  return sessions
}

function fillTargets(account: Account, index: number): unknown {
  const targets = new BoundedMap<string, unknown>(account)
  for (let at = 0; at < account.term.entriesMax; at++) {
    const peer = nodeId(id(index, at))
    const backoff = new Backoff(random, { firstMs: 1, mostMs: 2 })
    const target = { peer, backoff, dialling: undefined, nextAt: at + 0.5, once: false }
    targets.set(Buffer.from(peer).toString('latin1'), target)
  }
  return targets
}

function buffer(accounts: { held?: Account; buffers?: Account; locks?: Account }) {
  return new GossipBuffer<Holdable>({
    held: accounts.held ?? besides.require(wide.held),
    buffers: accounts.buffers ?? besides.require(wide.buffers),
    locks: accounts.locks ?? besides.require(wide.locks),
    holdMs: 1_000,
    lockMs: 1_000,
  })
}

export const costs: readonly CostCase[] = Object.freeze([
  ...flowCosts,
  ...shellCosts,
  { term: terms.logs, fill: fillLogs },
  { term: terms.peers, fill: fillPeers },
  { term: terms.sessions, fill: fillSessions },
  { term: terms.targets, fill: fillTargets },
  {
    term: terms.seen,
    fill(account: Account, index: number) {
      const seen = new IdSet(account, seededRandom(index))
      for (let at = 0; at < 2 * account.term.entriesMax; at++) seen.add(hashId(id(index, at)))
      return seen
    },
  },
  {
    term: terms.buffers,
    fill(account: Account, index: number) {
      // What is held is charged elsewhere; its author is a view of its header, which may live as long.
      const authors = buffer({ buffers: account })
      for (let at = 0; at < account.term.entriesMax; at++) {
        authors.hold(TOPIC, nodeId(id(at, index)), held, instant(0))
      }
      return authors
    },
  },
  {
    term: terms.locks,
    fill(account: Account, index: number) {
      const locks = buffer({ locks: account })
      const [topic, author] = [topicId(id(index, 1)), nodeId(id(index, 2))]
      for (let at = 0; at < account.term.entriesMax; at++)
        locks.lock(topic, author, instant(at + 0.5))
      return locks
    },
  },
])
