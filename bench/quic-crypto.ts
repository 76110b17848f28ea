/**
 * What protecting a packet costs, beside the bare calls of node:crypto, in turns in one run.
 *
 *     node tools/with-node.js bench/quic-crypto.ts              packets of 64 and 1 200 bytes, both suites
 *     node tools/with-node.js bench/quic-crypto.ts --memory     bytes that the keys of an idle connection hold
 *
 * Times are CPU time of the thread, so that other processes disturb them little; the first quartile and the median of
 * the rounds are shown. "Bare" is one AEAD object for each packet, without nonce, header protection and copies in place.
 */
import { spawnSync } from 'node:child_process'
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { forceCollection } from 'weir-mesh/bounds'
import type { Suite } from '../packages/weir/src/quic/contract.ts'
import { AES_128_GCM, CHACHA20_POLY1305 } from '../packages/weir/src/quic/crypto/aead.ts'
import { levelKeys } from '../packages/weir/src/quic/crypto/initial-keys.ts'
import { packetKeys } from '../packages/weir/src/quic/crypto/packet-keys.ts'

const ROUNDS = 15
const CALLS = 6_000
const SETS = 10_000
const TAG_BYTES = 16
/** A short header with an id of 8 bytes and a number of 2. */
const HEAD_BYTES = 11
const suites = [
  { name: 'AES-128-GCM', suite: AES_128_GCM, cipher: 'aes-128-gcm', keyBytes: 16 },
  {
    name: 'ChaCha20-Poly1305',
    suite: CHACHA20_POLY1305,
    cipher: 'chacha20-poly1305',
    keyBytes: 32,
  },
] as const

const { values } = parseArgs({
  options: { memory: { type: 'boolean', default: false }, 'memory-of': { type: 'string' } },
})

interface Task {
  readonly name: string
  readonly call: () => void
  readonly spent: number[]
}

function tasksOf(which: (typeof suites)[number], bytes: number): Task[] {
  const { suite, keyBytes } = which
  // The types know the two kinds of cipher by their names; both take the same options.
  const cipher = which.cipher as 'chacha20-poly1305'
  const options = { authTagLength: TAG_BYTES }
  const secret = new Uint8Array(32).fill(1)
  const keys = packetKeys(suite, secret)
  const plainEnd = bytes - TAG_BYTES
  const packet = new Uint8Array(bytes)
  packet[0] = 0x41
  keys.seal(packet, 0, HEAD_BYTES, plainEnd, 0, 2)
  const work = new Uint8Array(bytes)
  const [key, nonce] = [new Uint8Array(keyBytes), new Uint8Array(12)]
  const [head, text] = [packet.slice(0, HEAD_BYTES), packet.slice(HEAD_BYTES, plainEnd)]
  const sealing = createCipheriv(cipher, key, nonce, options).setAAD(head, {
    plaintextLength: text.length,
  })
  const sealed = Buffer.concat([sealing.update(text), sealing.final()])
  const tag = sealing.getAuthTag()
  let number = 0
  const calls: Record<string, () => void> = {
    'seal, ours': () => {
      work[0] = 0x41
      keys.seal(work, 0, HEAD_BYTES, plainEnd, ++number, 2)
    },
    'seal, bare': () => {
      const object = createCipheriv(cipher, key, nonce, options)
      object.setAAD(head, { plaintextLength: text.length }).update(text)
      object.final()
      object.getAuthTag()
    },
    'open, ours': () => {
      work.set(packet)
      const length = keys.unmask(work, 0, 9)
      if (keys.open(work, 0, 9 + length, bytes, 0) < 0) throw new Error('not authentic')
    },
    'open, bare': () => {
      const object = createDecipheriv(cipher, key, nonce, options)
      object.setAAD(head, { plaintextLength: sealed.length }).setAuthTag(tag).update(sealed)
      object.final()
    },
  }
  return Object.entries(calls).map(([name, call]) => ({ name, call, spent: [] }))
}

function speed(): void {
  console.log('| suite | bytes | what | first quartile µs | median µs | packets/s | of bare |')
  console.log('|---|---|---|---|---|---|---|')
  for (const which of suites) {
    for (const bytes of [64, 1_200]) {
      const tasks = tasksOf(which, bytes)
      for (const { call } of tasks) repeat(call, 2 * CALLS)
      for (let round = 0; round < ROUNDS; round++) {
        for (const { call, spent } of tasks) {
          const before = cpuUs()
          repeat(call, CALLS)
          spent.push((cpuUs() - before) / CALLS)
        }
      }
      for (const { spent } of tasks) spent.sort((a, b) => a - b)
      const median = ({ spent }: Task) => spent[ROUNDS >> 1]!
      for (const [index, task] of tasks.entries()) {
        const bare = median(tasks[index | 1]!)
        const [quarter, middle] = [task.spent[ROUNDS >> 2]!.toFixed(2), median(task).toFixed(2)]
        const rate = Math.round(1e6 / median(task))
        const share = (median(task) / bare).toFixed(2)
        const row = [which.name, bytes, task.name, quarter, middle, rate, share]
        console.log(`| ${row.join(' | ')} |`)
      }
    }
  }
}

/** Each suite in a process of its own, whose young generation does not hide what is held. */
function memoryOfEach(): void {
  const flags = ['--conditions=weir-source', '--expose-gc', '--max-semi-space-size=1']
  for (const { name } of suites) {
    const args = [...flags, import.meta.filename, '--memory-of', name]
    spawnSync(process.execPath, args, { stdio: 'inherit' })
  }
}

async function memoryOf(wanted: string): Promise<void> {
  const { name, suite } = suites.find((each) => each.name === wanted)!
  for (let seed = 0; seed < SETS / 4; seed++) dispose(keysOf(suite, seed))
  const before = await held()
  const kept = Array.from({ length: SETS }, (_, seed) => keysOf(suite, seed))
  const after = await held()
  const each = (figure: keyof NodeJS.MemoryUsage) =>
    Math.round((after[figure] - before[figure]) / SETS)
  const used = `heap ${each('heapUsed')}, external ${each('external')}, RSS ${each('rss')}`
  console.log(`${name}: bytes for each connection, both directions: ${used}`)
  for (const pair of kept) dispose(pair)
}

/** Keys of both directions that were used once. */
function keysOf(suite: Suite, seed: number): ReturnType<typeof levelKeys> {
  const secret = new Uint8Array(32).fill(seed)
  const keys = levelKeys({ suite, read: secret, write: secret })
  const packet = new Uint8Array(64)
  keys.write.seal(packet, 0, HEAD_BYTES, 48, 0, 1)
  keys.read.unmask(packet, 0, HEAD_BYTES - 1)
  keys.read.open(packet, 0, HEAD_BYTES, 64, 0)
  return keys
}

function dispose({ read, write }: ReturnType<typeof levelKeys>): void {
  read[Symbol.dispose]()
  write[Symbol.dispose]()
}

async function held(): Promise<NodeJS.MemoryUsage> {
  for (let round = 0; round < 5; round++) {
    forceCollection()
    await sleep(20)
  }
  return process.memoryUsage()
}

function repeat(call: () => void, times: number): void {
  for (let count = 0; count < times; count++) call()
}

function cpuUs(): number {
  const { user, system } = process.threadCpuUsage()
  return user + system
}

if (values['memory-of'] !== undefined) await memoryOf(values['memory-of'])
else if (values.memory) memoryOfEach()
else speed()
