/**
 * How the containers are filled for `npm run costs`, and objects of the kinds that `costs.ts` has constants for. Terms of
 * modules are computed from these constants, so they are checked at both ends: the leanest and the fattest filling.
 */
import { createCipheriv } from 'node:crypto'
import { seededRandom } from '../runtime/index.ts'
import type { Account } from './account.ts'
import { BoundedMap } from './bounded-map.ts'
import type { CostCase } from './cost-case.ts'
import {
  BUFFER_SHELL_BYTES,
  ID_BYTES,
  MAP_NODE_BYTES,
  MULTI_KEY_BYTES,
  MULTI_VALUE_BYTES,
  NATIVE_KEY_BYTES,
  OBJECT_BYTES,
  PROMISE_BYTES,
  STRING_SHELL_BYTES,
} from './costs.ts'
import { IdSet } from './id-set.ts'
import { MultiMap } from './multi-map.ts'
import { RingQueue } from './ring-queue.ts'
import { type Term, type TermOptions, term } from './term.ts'

const make = (name: string, options: Omit<TermOptions, 'name' | 'why'>): Term =>
  term({ name: `cost.${name}`, why: 'measured only', ...options })

const mapOf = (name: string, entriesMax: number) =>
  make(name, { table: 'map', entriesMax, shellBytes: MAP_NODE_BYTES, overflow: 'evict' })

function fillMap(account: Account): unknown {
  const map = new BoundedMap<number, number>(account)
  for (let key = 0; key < account.term.entriesMax; key++) map.set(key, key)
  return map
}

/** With expiry, and with three times as many entries evicted as stay: the table is then at its largest. */
function churnMap(account: Account): unknown {
  const nowMs = () => 1.5
  const map = new BoundedMap<number, number>(account, { ttlMs: 1e12, nowMs, onExit() {} })
  for (let key = 0; key < 4 * account.term.entriesMax - 1; key++) map.set(key, key)
  return map
}

function fillMultiMap(account: Account): unknown {
  const map = new MultiMap<number, number>(account, { valuesPerKeyMax: 8, onExit() {} })
  const { entriesMax } = account.term
  for (let key = 0; key < 4 * entriesMax - 1; key++) {
    if (key >= entriesMax) map.delete(key - entriesMax)
    map.add(key, key)
  }
  return map
}

function fillRing(account: Account): unknown {
  const ring = new RingQueue<number>(account, { onExit() {} })
  for (let key = 0; key < account.term.entriesMax; key++) ring.push(key)
  return ring
}

function fillIds(account: Account, index: number): unknown {
  const random = seededRandom(index)
  const ids = new IdSet(account, random)
  for (let count = 0; count < 2 * account.term.entriesMax; count++) ids.add(random.bytes(32))
  return ids
}

/** A ring of one kind of object, so that only the object is measured beside the slots. */
function kind(
  name: string,
  shellBytes: number,
  payloadBytes: number,
  build: (seed: number) => unknown,
  arena: 'heap' | 'native' = 'heap',
): CostCase {
  const entriesMax = 1024
  return {
    term: make(name, {
      table: 'ring',
      arena,
      entriesMax,
      shellBytes,
      payloadBytesMax: entriesMax * payloadBytes,
    }),
    fill(account, index) {
      const ring = new RingQueue<unknown>(account, { bytesOf: () => payloadBytes })
      for (let key = 0; key < entriesMax; key++) ring.push(build(index * entriesMax + key))
      return ring
    },
  }
}

const text = (seed: number) => String(1e9 + seed).padEnd(40, 'x')

export const costs: readonly CostCase[] = Object.freeze([
  { term: make('account', {}), fill: (account) => account, instances: 20_000 },
  { term: mapOf('map', 1024), variant: 'filled once', fill: fillMap },
  { term: mapOf('map', 1024), variant: 'ttl, churned', fill: churnMap },
  { term: mapOf('map-odd', 1025), variant: 'ttl, churned', fill: churnMap },
  { term: mapOf('map-large', 65_536), variant: 'ttl, churned', fill: churnMap },
  { term: mapOf('map-small', 4), variant: 'filled once', fill: fillMap },
  { term: mapOf('map-small', 4), variant: 'ttl, churned', fill: churnMap },
  {
    term: make('multi-map', {
      table: 'map',
      entriesMax: 1024,
      shellBytes: MULTI_KEY_BYTES + MULTI_VALUE_BYTES,
    }),
    variant: 'a key each, churned',
    fill: fillMultiMap,
  },
  { term: make('ring', { table: 'ring', entriesMax: 1024 }), fill: fillRing },
  { term: make('ring-small', { table: 'ring', entriesMax: 4 }), fill: fillRing },
  {
    term: make('ids', { table: 'slab', arena: 'buffers', entriesMax: 4096, shellBytes: ID_BYTES }),
    fill: fillIds,
  },
  {
    term: make('ids-small', {
      table: 'slab',
      arena: 'buffers',
      entriesMax: 16,
      shellBytes: ID_BYTES,
    }),
    fill: fillIds,
  },
  kind('buffer-32', BUFFER_SHELL_BYTES, 32, () => new Uint8Array(32)),
  kind('buffer-100', BUFFER_SHELL_BYTES, 100, () => new Uint8Array(100)),
  kind('string-40', STRING_SHELL_BYTES, 40, (seed) => Buffer.from(text(seed)).toString('latin1')),
  kind('object', OBJECT_BYTES, 0, (seed) => ({ a: seed, b: 1, c: 2, d: 3, e: 4, f: 5 })),
  kind('promise', PROMISE_BYTES, 0, (seed) => {
    let settle = (_: number) => {}
    const promise = new Promise<number>((resolve) => (settle = resolve))
    void promise.then((value) => value + seed)
    return settle
  }),
  kind(
    'native-gcm',
    NATIVE_KEY_BYTES,
    0,
    () => createCipheriv('aes-128-gcm', new Uint8Array(16), new Uint8Array(12)),
    'native',
  ),
  kind(
    'native-ecb',
    NATIVE_KEY_BYTES,
    0,
    () => createCipheriv('aes-128-ecb', new Uint8Array(16), null),
    'native',
  ),
])
