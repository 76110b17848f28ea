/** How the terms of sync that operations and frames pass through are filled for `npm run costs`. */
import { type Account, type CostCase, Ledger, planMemory, RingQueue } from '../bounds/index.ts'
import { copyBytes, encodeFrame, FrameReader } from '../codec/index.ts'
import { decodeHeader, type Header, KeyPair, type LogId, topicLogId } from '../core/index.ts'
import { Tickets } from '../machine/index.ts'
import { instant } from '../runtime/index.ts'
import type { StoredOperation } from '../store/index.ts'
import { makeLog, TOPIC } from './fixtures.ts'
import { GossipBuffer } from './gossip-buffer.ts'
import { IngestMachine, type Item } from './ingest-machine.ts'
import { syncLimits } from './limits.ts'
import { rowKey } from './log-table.ts'
import {
  FRAME_SHELL_BYTES,
  itemBytes,
  operationBytes,
  READ_BYTES,
  READ_COST_BYTES,
  syncTerms,
} from './memory.ts'
import type { LiveOperation } from './peer.ts'
import type { Shared } from './shared.ts'

const OPERATIONS = 512
const NOW = instant(0.5)

const make = (bodyBytes: number) =>
  makeLog({ key: KeyPair.fromSeed(new Uint8Array(32).fill(1)), count: 1, bodyBytes })[0]!
/** A usual operation, and a small one, of which the shell is the most. */
const large = make(1_024)
const small = make(1)
const itemCost = itemBytes(small.header, small.body)
const costOf = ({ header, body }: StoredOperation): number => operationBytes(header, body)

const limits = syncLimits({
  deliverMax: OPERATIONS,
  liveMax: OPERATIONS,
  queueBytesMax: OPERATIONS * costOf(large),
  frameBytesMax: 128 * 1024,
  sendWindowBytes: 64 * 1024,
})
const terms = syncTerms(limits)
/** Filled with small operations up to both caps. */
const narrow = syncTerms(
  syncLimits({
    frameBytesMax: 64 * 1024,
    ingestMax: OPERATIONS,
    ingestBytesMax: OPERATIONS * itemCost,
    heldMax: OPERATIONS,
    heldBytesMax: OPERATIONS * itemCost,
  }),
)
const besides = new Ledger(
  planMemory(Object.values(syncTerms(syncLimits({ topicsMax: 4_096 }))), { limitBytes: 2 ** 52 }),
)
const wide = new Map(besides.plan.rows.map(({ term }) => [term.name, term]))

/** An operation as a session makes it: header and body with memory of their own, the ids as views. */
function received(
  pattern: StoredOperation,
  seq = 0,
): { header: Header; operation: StoredOperation } {
  const header = decodeHeader(pattern.header)
  const operation = {
    id: header.id,
    author: header.author,
    logId: copyBytes(topicLogId(TOPIC)) as LogId,
    seq,
    backlink: header.backlink,
    header: header.bytes,
    body: copyBytes(pattern.body!),
    payloadSize: header.payloadSize,
    prune: false,
  }
  return { header, operation }
}

function item(seq: number): Item {
  const { header, operation } = received(small, seq)
  return {
    session: undefined,
    ticket: undefined,
    header,
    operation,
    live: true,
    logKey: rowKey(operation.author, operation.logId),
    seq,
    bytes: itemCost,
    state: 'valid',
    row: undefined,
    next: undefined,
  }
}

function fillDeliver(account: Account): unknown {
  const queue = new RingQueue<StoredOperation>(account, { bytesOf: costOf })
  while (queue.push(received(large).operation) === 'ok');
  return queue
}

/** Operations of peers that nobody else holds any more. */
function fillLive(account: Account): unknown {
  const queue = new RingQueue<LiveOperation>(account, {
    bytesOf: ({ operation }) => costOf(operation),
  })
  const row = undefined as never
  while (queue.push({ row, operation: received(large).operation }) === 'ok');
  return queue
}

function fillIngest(account: Account): unknown {
  const shared = { tickets: new Tickets() } as Shared
  const machine = new IngestMachine(shared, account, undefined as never, undefined as never)
  for (let seq = 0; machine.reserve(itemCost); seq++) machine.add(item(seq))
  return machine
}

function fillHeld(account: Account): unknown {
  const buffer = new GossipBuffer<Item>({
    held: account,
    buffers: besides.require(wide.get('sync.buffers')!),
    locks: besides.require(wide.get('sync.locks')!),
    holdMs: 1_000,
    lockMs: 1_000,
  })
  for (let seq = 0; ; seq++) {
    const each = item(seq)
    if (buffer.hold(TOPIC, each.operation.author, each, NOW) !== 'held') return buffer
  }
}

/** A chunk as it was read, and a frame that lacks its last byte. */
function fillFrame(account: Account): unknown {
  account.require(READ_COST_BYTES)
  const reader = new FrameReader({ frameBytesMax: limits.frameBytesMax, charge: account })
  const frame = encodeFrame(new Uint8Array(limits.frameBytesMax))
  for (let at = 0; at + 1 < frame.length; at += READ_BYTES) {
    reader.push(frame.subarray(at, Math.min(at + READ_BYTES, frame.length - 1)))
    reader.next()
  }
  return [reader, new Uint8Array(READ_BYTES)]
}

/** The reader itself is part of the link. */
const besideFrame = (): unknown => new FrameReader({ frameBytesMax: limits.frameBytesMax })

/** A live operation with a short body. */
const SMALL_FRAME_BYTES = 340
const never = new Promise<void>(() => {})

/** A frame of full length behind a window of frames as they are sent one by one: each is a link of a chain. */
function fillSend(account: Account): unknown {
  let writing = never
  const frames = [limits.frameBytesMax]
  const each = SMALL_FRAME_BYTES + FRAME_SHELL_BYTES
  for (let left = limits.sendWindowBytes; left >= each; left -= each) frames.push(SMALL_FRAME_BYTES)
  for (const bytes of frames) {
    account.require(bytes + FRAME_SHELL_BYTES)
    const frame = new Uint8Array(bytes)
    writing = writing.then(() => void frame.fill(0))
  }
  // A bare promise would be waited for.
  return [writing]
}

export const flowCosts: readonly CostCase[] = Object.freeze([
  { term: terms.deliver, fill: fillDeliver },
  { term: terms.live, fill: fillLive },
  { term: narrow.ingest, variant: 'small operations', fill: fillIngest },
  { term: narrow.held, variant: 'small operations', fill: fillHeld },
  { term: terms.frame, fill: fillFrame, beside: besideFrame },
  { term: terms.send, fill: fillSend },
])
