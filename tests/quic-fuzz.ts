/**
 * Looks for bytes that break QUIC, led by coverage: an input that reaches code that none before it did is kept and changed
 * further. What breaks a target is printed as a line of the corpus. The targets `client` and `server` are inside the
 * protection: scripts for a peer that holds the keys.
 *
 *     node tools/with-node.js tests/quic-fuzz.ts                      60 seconds of CPU, 12 for each target
 *     node tools/with-node.js tests/quic-fuzz.ts --seconds 3600 --seed 7 --only client
 *     node tools/with-node.js tests/quic-fuzz.ts --write              puts what was found into the corpus
 *     node tools/with-node.js tests/quic-fuzz.ts --minimise           leaves out of it what reaches nothing of its own
 *     node tools/with-node.js tests/quic-fuzz.ts --report             what the corpus reaches, file by file
 *
 * Coverage comes from V8 by blocks. Reading it costs milliseconds, so a batch is run first, and halved only when it has
 * reached something new.
 */
import { appendFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type Random, seededRandom } from 'weir-mesh/runtime'
import type { FuzzInput, FuzzTarget, TargetName } from '../packages/weir/src/quic/fuzz.fixture.ts'
import { Coverage } from './quic-coverage.ts'

const BATCH = 64

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    only: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
    minimise: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
  },
})

const coverage = new Coverage()
await coverage.start()
// Loaded when V8 counts already, or functions that are never called would not be told.
const { CORPUS, corpusLine, near, openTarget, readCorpus, TARGETS } = await import(
  '../packages/weir/src/quic/fuzz.fixture.ts'
)
const targets = TARGETS.filter((name) => values.only === '' || name === values.only)

async function main(): Promise<number> {
  if (values.report) return report()
  if (values.minimise) return minimise()
  console.log(`seed ${values.seed}`)
  let broken = 0
  for (const name of targets) broken += await fuzz(name, seededRandom(Number(values.seed)))
  return broken === 0 ? 0 : 1
}

/** What all inputs of the chosen targets reach together. */
async function report(): Promise<number> {
  for (const name of targets) {
    using target = openTarget(name)
    for (const input of readCorpus()) if (input.target === name) target.run(input.bytes)
  }
  for (const { file, functions, called, share, missed } of await coverage.report()) {
    const percent = `${Math.round(100 * share)} %`.padStart(5)
    console.log(`${file.padEnd(38)} ${called}/${functions} ${percent} ${missed.join(' ')}`)
  }
  return 0
}

/** For each target, from its shortest input on, keeps what reaches something that none before did. */
async function minimise(): Promise<number> {
  const all = readCorpus()
  const kept = all.filter(({ target }) => !targets.includes(target))
  for (const name of targets) {
    coverage.forget()
    using target = openTarget(name)
    const inputs = all.filter((each) => each.target === name)
    inputs.sort((a, b) => a.bytes.length - b.bytes.length)
    for (const input of inputs) {
      target.run(Uint8Array.from(input.bytes))
      const fresh = await coverage.take()
      coverage.add(fresh)
      if (fresh.size > 0) kept.push(input)
    }
  }
  writeFileSync(CORPUS, kept.map((input) => `${corpusLine(input)}\n`).join(''))
  console.log(`${kept.length} of ${all.length} inputs`)
  return 0
}

async function fuzz(name: TargetName, random: Random): Promise<number> {
  const pool = readCorpus().filter(({ target }) => target === name)
  // As bytes of flags these are a script for each of them alone.
  for (const first of pool.length === 0 ? [0, 1, 2, 4, 8, 16, 32, 64] : []) {
    pool.push({ target: name, bytes: Uint8Array.of(first) })
  }
  const target = openTarget(name)
  for (const { bytes } of pool) if (!survives(target, name, bytes)) return 1
  coverage.add(await coverage.take())
  const known = coverage.size
  const spent = () => process.cpuUsage(started).user / 1e6
  const started = process.cpuUsage()
  const seconds = Number(values.seconds) / targets.length
  let runs = 0
  let found = 0
  while (spent() < seconds) {
    const batch = Array.from({ length: BATCH }, () => {
      const pick = () => pool[random.below(pool.length)]!.bytes
      return near(name, pick(), pick(), random)
    })
    for (const bytes of batch) if (!survives(target, name, bytes)) return 1
    runs += batch.length
    const fresh = await coverage.take()
    if (fresh.size === 0) continue
    found += await keep(pool, batch, name, target)
    // What only the batch as a whole has reached.
    coverage.add(fresh)
  }
  target[Symbol.dispose]()
  console.log(
    `${name}: ${runs} runs in ${Math.round(spent())} s of CPU, ${coverage.size - known} new blocks, ${found} inputs kept of ${pool.length}`,
  )
  return 0
}

/** Keeps the inputs of a batch that reach something new by themselves, found by halving. @returns how many. */
async function keep(
  pool: FuzzInput[],
  batch: readonly Uint8Array[],
  name: TargetName,
  target: FuzzTarget,
): Promise<number> {
  for (const bytes of batch) target.run(Uint8Array.from(bytes))
  const fresh = await coverage.take()
  if (fresh.size === 0) return 0
  if (batch.length > 1) {
    const middle = batch.length >> 1
    const first = await keep(pool, batch.slice(0, middle), name, target)
    return first + (await keep(pool, batch.slice(middle), name, target))
  }
  coverage.add(fresh)
  const input = { target: name, bytes: batch[0]! }
  pool.push(input)
  if (values.write) appendFileSync(CORPUS, `${corpusLine(input)}\n`)
  return 1
}

function survives(target: FuzzTarget, name: TargetName, bytes: Uint8Array): boolean {
  try {
    target.run(Uint8Array.from(bytes))
    return true
  } catch (error) {
    console.log(`BROKEN by: ${corpusLine({ target: name, bytes })}`)
    console.log(error)
    return false
  }
}

process.exitCode = await main()
