/**
 * Speed and weight of both stores: `node --conditions=weir-source --expose-gc store.bench.ts`.
 *
 * Appends and reads operations of 1 KiB (253 bytes of header, 771 of body) in batches of 64, and weighs 11 000
 * operations of three sizes in a MemoryStore, each in a process of its own.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { forceCollection, Ledger, planMemory } from '../bounds/index.ts'
import { LOG, log, run, TOPIC } from './fixtures.ts'
import {
  type LogStore,
  MemoryStore,
  memoryStoreTerms,
  SqliteStore,
  sqliteStoreTerms,
} from './index.ts'

const BATCH = 64
const BATCHES = 300
const HEADER_BYTES = 253
const WEIGHED = 11_000

const memory = memoryStoreTerms({ bytesMax: 128 * 1024 * 1024, operationsMax: 65_536 })
const sqlite = sqliteStoreTerms()
const plan = planMemory([...Object.values(memory), ...Object.values(sqlite)], {
  limitBytes: 2 ** 40,
})
const ledger = new Ledger(plan)

const size = process.argv[2]
if (size !== undefined) await weigh(size === 'none' ? undefined : Number(size))
else {
  await speed('MemoryStore', new MemoryStore({ ledger, terms: memory }))
  const directory = mkdtempSync(join(tmpdir(), 'weir-bench-'))
  try {
    const path = join(directory, 'store.db')
    await speed('SqliteStore', await SqliteStore.open({ path, ledger, terms: sqlite }))
  } finally {
    rmSync(directory, { recursive: true })
  }
  console.log(`\nBytes beside header and body, of ${WEIGHED} operations in a MemoryStore:`)
  for (const body of ['none', '259', '2048']) {
    const flags = ['--conditions=weir-source', '--expose-gc', import.meta.filename, body]
    process.stdout.write(spawnSync(process.execPath, flags, { encoding: 'utf8' }).stdout)
  }
}

async function speed(name: string, store: LogStore): Promise<void> {
  const batches = Array.from({ length: BATCHES }, (_, at) =>
    run(at * BATCH, at * BATCH + BATCH - 1, { headerBytes: HEADER_BYTES, bodyBytes: 771 }),
  )
  const slowest: number[] = []
  const cpu = process.cpuUsage()
  const start = performance.now()
  for (const batch of batches) {
    const before = performance.now()
    await store.append(TOPIC, batch)
    slowest.push(performance.now() - before)
  }
  const appended = performance.now() - start
  const cpuMs = (process.cpuUsage(cpu).user + process.cpuUsage(cpu).system) / 1_000
  slowest.sort((a, b) => a - b)
  const readStart = performance.now()
  let seq = 0
  for (let last = false; !last; ) {
    const page = await store.read(LOG, seq, Number.MAX_SAFE_INTEGER, BATCH * 1024)
    seq += page.operations.length
    last = page.last
  }
  const read = performance.now() - readStart
  if (seq !== BATCH * BATCHES) throw new Error(`${name} gave back ${seq} operations`)
  await store.close()
  const perSecond = (ms: number) => Math.round((1000 * BATCH * BATCHES) / ms).toLocaleString('en')
  console.log(
    `${name}: ${perSecond(appended)} appends/s (${((1000 * cpuMs) / seq).toFixed(1)} us CPU each; ` +
      `batch p50 ${slowest[BATCHES >> 1]!.toFixed(2)} ms, max ${slowest.at(-1)!.toFixed(1)} ms), ` +
      `${perSecond(read)} reads/s`,
  )
}

async function weigh(bodyBytes: number | undefined): Promise<void> {
  const store = new MemoryStore({ ledger, terms: memory })
  const options = { headerBytes: HEADER_BYTES, bodyBytes }
  // Compiled code and its feedback are not the operations'.
  for (let seq = 0; seq < 4_000; seq += 50) {
    await store.append(TOPIC, run(seq, seq + 49, { ...options, log: log(2) }))
  }
  await store.deleteLog(log(2))
  const before = await settled()
  for (let seq = 0; seq < WEIGHED; seq += 50) {
    await store.append(TOPIC, run(seq, Math.min(seq + 49, WEIGHED - 1), options))
  }
  const after = await settled()
  const payload = HEADER_BYTES + (bodyBytes ?? 0)
  const each = (bytes: number) => (bytes / WEIGHED - payload).toFixed(1)
  const charged = ledger.row(memory.bytes).bytes
  console.log(
    `  body ${String(bodyBytes ?? 'none').padStart(4)}: charged ${each(charged)}, ` +
      `measured ${each(after - before)}`,
  )
  await store.close()
}

async function settled(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    forceCollection()
    await sleep(10)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
