/** How the terms of sync for what waits and runs are filled for `npm run costs`: connections, topics, callers. */
import {
  type Account,
  BoundedMap,
  type CostCase,
  IdSet,
  Ledger,
  planMemory,
} from '../bounds/index.ts'
import { coreTerms, KeyPair, type NodeId, Verifier } from '../core/index.ts'
import { Scope, seededRandom } from '../runtime/index.ts'
import type { LogStore } from '../store/index.ts'
import type { BiStream, Connection } from '../transport/index.ts'
import { SyncAcceptor } from './acceptor.ts'
import type { Published } from './contract.ts'
import { TOPIC } from './fixtures.ts'
import { GossipBuffer } from './gossip-buffer.ts'
import { syncLimits } from './limits.ts'
import { LogTable } from './log-table.ts'
import { type SyncTerms, syncTerms } from './memory.ts'
import { topicStreamPolicy } from './policy.ts'
import { SyncLink } from './sync-link.ts'
import { TopicSync } from './topic-sync.ts'
import { verifyHere } from './verifying.ts'

const HOUR_MS = 3_600_000
const limits = syncLimits({ handshakeMs: HOUR_MS })
const terms = syncTerms(limits)

/** Topics whose tables are as small as can be: they belong to other terms and are taken off. */
const least = syncLimits({
  topicsMax: 16_384,
  logsMax: 4,
  peersMax: 2,
  targetsMax: 2,
  deliverMax: 4,
  locksMax: 4,
  seenMax: 4,
})
const wide = syncTerms(least)
const frames = syncTerms(syncLimits({ topicsMax: 4_096, peersMax: 64, wireBytesMax: 2 ** 40 }))
const key = coreTerms({ verifierKeysMax: 1 }).verifierKeys
const limitBytes = Number.MAX_SAFE_INTEGER
const besides = new Ledger(planMemory([...Object.values(wide), key], { limitBytes }))
const links = new Ledger(planMemory(Object.values(frames), { limitBytes }))

const self = KeyPair.fromSeed(new Uint8Array(32).fill(1)).id
const scope = new Scope('costs')
const never = new Promise<never>(() => {})

/** A ledger that hands out this account for its term, and others as they are. */
const handing = (account: Account, term: SyncTerms[keyof SyncTerms]): Ledger =>
  Object.create(besides, {
    require: {
      value: (wanted: typeof term, options: object) =>
        wanted === term ? account : besides.require(wanted, options),
    },
  }) as Ledger

/** A peer that says nothing: what waits for it, waits for ever. */
function silent(outbound: boolean): Connection {
  const stream = {
    send: { write: () => never, finish() {}, reset() {}, stopped: never },
    receive: { read: () => never, stop() {} },
  } as unknown as BiStream
  const open = () => Promise.resolve(stream)
  const each = { nodeId: self, outbound, closed: never, acceptBi: open, openBi: open, close() {} }
  return each as unknown as Connection
}

const nothing = new Uint8Array(0)
const inbound = silent(false)
const outbound = silent(true)

async function fillHandshakes(account: Account): Promise<unknown> {
  const acceptor = new SyncAcceptor({
    ledger: { require: () => account } as unknown as Ledger,
    terms,
    limits,
    scope,
    find: () => undefined,
  })
  for (let at = 0; at < account.term.entriesMax; at++) acceptor.accept(inbound)
  await turns()
  return acceptor
}

/** Sessions that we have dialled, each within the task of its dial. */
async function fillLinks(account: Account): Promise<unknown> {
  const map = new BoundedMap<number, SyncLink>(account)
  for (let number = 0; number < account.term.entriesMax; number++) {
    const { signal, clock } = scope
    const link = new SyncLink({
      link: number,
      connection: outbound,
      frame: links.require(frames.frame),
      frameBytesMax: limits.frameBytesMax,
      openMs: HOUR_MS,
      clock,
      host: { deliver() {}, reserve: () => true, yieldFrame: () => false },
      signal,
    })
    map.set(number, link)
    const run = async () => {
      try {
        await link.run()
      } finally {
        map.delete(number)
      }
    }
    scope.spawn('dial', async () => {
      await run()
    })
  }
  await turns()
  for (const link of map.values()) link.send(nothing)
  return map
}

const besideLinks = (): unknown =>
  Array.from({ length: terms.links.entriesMax }, () => links.require(frames.frame))

function fillPublishes(account: Account): unknown {
  const map = new BoundedMap<number, (result: Published) => void>(account)
  const publish = async (ticket: number) => {
    const result = await new Promise<Published>((resolve) => map.set(ticket, resolve))
    if (result !== 'kept') throw new Error(result)
  }
  const caller = async (ticket: number) => {
    await publish(ticket)
  }
  for (let ticket = -1; account.entries < account.term.entriesMax; ticket--) void caller(ticket)
  return map
}

const store = {
  durable: true,
  logs: async () => [],
  append: () => never,
  read: () => never,
} as unknown as LogStore
const verifier = verifyHere(new Verifier(besides.require(key)))
const random = seededRandom(1)

async function fillTopics(account: Account): Promise<unknown> {
  const sync = await TopicSync.open({
    topic: TOPIC,
    self: new Uint8Array(self) as NodeId,
    store,
    connect: () => never,
    policy: topicStreamPolicy(TOPIC),
    verifier,
    ledger: handing(account, wide.topics),
    terms: wide,
    limits: least,
    scope: scope.child('topic'),
    random,
    onOperation() {},
    onReport() {},
  })
  return sync
}

/** The tables of a topic. */
function besideTopics(): unknown {
  const account = (name: keyof SyncTerms) => besides.require(wide[name])
  const maps = ['targets', 'sessions', 'peers', 'links', 'publishes'] as const
  return [
    new LogTable(account('logs'), () => {}),
    new IdSet(account('seen'), random),
    new GossipBuffer({
      held: account('held'),
      buffers: account('buffers'),
      locks: account('locks'),
      holdMs: 1,
      lockMs: 1,
    }),
    account('ingest'),
    account('deliver'),
    maps.map((name) => new BoundedMap(account(name))),
  ]
}

/** What was begun has run as far as it can. */
const turns = () => new Promise((resolve) => setTimeout(resolve, 5))

export const shellCosts: readonly CostCase[] = Object.freeze([
  { term: terms.handshakes, fill: fillHandshakes },
  { term: terms.links, fill: fillLinks, beside: besideLinks },
  { term: terms.publishes, fill: fillPublishes },
  { term: wide.topics, fill: fillTopics, beside: besideTopics, instances: 400 },
])
