/** How the terms of replication are filled for `npm run costs`. */
import { type Account, BoundedMap, type CostCase, RingQueue } from 'weir-mesh/bounds'
import type { NodeId } from 'weir-mesh/core'
import { instant } from 'weir-mesh/machine'
import { applyBytes } from './applier.ts'
import { CatchingUp } from './catching-up.ts'
import { decodeContent, encodeContent } from './content.ts'
import { CHUNK_ITEM_BYTES, meshTerms } from './memory.ts'
import { objectKey } from './names.ts'
import type { Desired } from './row.ts'
import { RowTable } from './row-table.ts'
import { Zone } from './zone.ts'

const terms = meshTerms({
  objectsMax: 4096,
  zonesMax: 256,
  publishBytesMax: 1024 * 1024,
  logBytesMax: 1 << 24,
  appliesMax: 8,
  pendingMax: 64,
})

/** A string of its own, as one that came from bytes is. */
const ownString = (seed: number, length: number) =>
  JSON.parse(JSON.stringify(String(1e9 + seed).padEnd(length, 'x'))) as string

const zone = new Zone('zone-b', new Uint8Array(32) as NodeId)

/** Replicas as a large zone has them: names of 60 characters together, an observation and a desired state each. */
function fillRows(account: Account, index: number): unknown {
  const rows = new RowTable(account)
  const all = account.term.entriesMax
  for (let at = 0; at < all; at++) {
    const seed = index * all + at
    const name = {
      resource: ownString(0, 24),
      namespace: ownString(0, 12),
      name: ownString(seed, 24),
    }
    const row = rows.findOrAdd(name)!
    row.observed = {
      uid: ownString(seed, 36),
      version: ownString(seed, 13),
      owner: ownString(0, 6),
      cluster: ownString(0, 36),
      hash: ownString(seed, 16),
      made: { incarnation: 1.7e12 + seed, seq: at },
    }
    row.acceptedFor = row.acceptedHash = ownString(seed + 1, 16)
    const desired: Desired = {
      zone,
      logKey: zone.logKey,
      seq: at,
      part: 0,
      version: ownString(seed, 13),
      hash: ownString(seed + 2, 16),
      next: undefined,
    }
    row.setDesired(desired)
    row.given(desired)
  }
  account.require(account.freeBytes)
  return rows
}

function fillZones(account: Account): unknown {
  const zones = new BoundedMap<string, Zone>(account)
  const catchingUp = new CatchingUp()
  for (let at = 0; at < account.term.entriesMax; at++) {
    const name = ownString(at, 20)
    const each = new Zone(name, new Uint8Array(32) as NodeId)
    each.logKey = ownString(at, 32)
    each.previousLogKey = ownString(at + 1, 32)
    each.cluster = ownString(at, 36)
    each.snapshot = { id: 1, beginSeq: 2, cluster: each.cluster, received: 3 }
    catchingUp.begin(each, 1_000_000 + at, instant(1e15 + at))
    zones.set(name, each)
  }
  return [zones, catchingUp]
}

function fillPublish(account: Account): unknown {
  const queue = new RingQueue<{ seq: number; body: Uint8Array; prune: boolean }>(account, {
    bytesOf: ({ body }) => body.length,
  })
  const each = Math.floor(account.term.payloadBytesMax / account.term.entriesMax)
  for (let at = 0; at < account.term.entriesMax; at++) {
    queue.push({ seq: at, body: new Uint8Array(new ArrayBuffer(each)), prune: false })
  }
  return queue
}

function fillChunk(account: Account): unknown {
  const items: Uint8Array[] = []
  for (let left = account.term.payloadBytesMax; left > CHUNK_ITEM_BYTES; ) {
    const bytes = Math.min(left - CHUNK_ITEM_BYTES, 2048)
    account.require(bytes + CHUNK_ITEM_BYTES)
    items.push(new Uint8Array(new ArrayBuffer(bytes)))
    left -= bytes + CHUNK_ITEM_BYTES
  }
  return items
}

/** As many writes as fit, of objects with this content. */
function fillApplies(content: Uint8Array) {
  return (account: Account): unknown => {
    const held: unknown[] = []
    account.require(0, account.term.entriesMax)
    while (account.freeBytes >= applyBytes(content)) {
      account.require(applyBytes(content))
      const wanted = decodeContent(content)
      const text = JSON.stringify(wanted)
      held.push(wanted, JSON.parse(text), text, JSON.stringify(wanted))
    }
    return held
  }
}

const fields: { [name: string]: number } = {}
for (let at = 0; at < 2_000; at++) fields[`f${at}`] = at + 2 ** 31
const numbers = encodeContent({ spec: fields })
const lists = encodeContent({ spec: { list: Array.from({ length: 500 }, () => ({ a: 1 })) } })

function fillTooLarge(account: Account, index: number): unknown {
  const map = new BoundedMap<string, number>(account, { bytesOf: (key) => key.length })
  const length = account.term.payloadBytesMax / account.term.entriesMax
  for (let at = 0; at < account.term.entriesMax; at++) {
    const name = ownString(index * account.term.entriesMax + at, length - 5)
    map.set(objectKey({ resource: 'g/K', namespace: '', name }), at)
  }
  return map
}

export const costs: readonly CostCase[] = Object.freeze([
  { term: terms.objects, fill: fillRows },
  { term: terms.zones, fill: fillZones },
  { term: terms.publish, fill: fillPublish },
  { term: terms.chunk, fill: fillChunk },
  { term: terms.applies, variant: 'fields', fill: fillApplies(numbers) },
  { term: terms.applies, variant: 'lists of small objects', fill: fillApplies(lists) },
  { term: terms.tooLarge, fill: fillTooLarge },
])
