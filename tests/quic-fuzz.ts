/**
 * Looks for bytes that break the readers of QUIC, led by coverage: an input that reaches code that none before it did is
 * kept and changed further. What breaks a target is printed as a line of the corpus.
 *
 *     node tools/with-node.js tests/quic-fuzz.ts                      60 seconds, 20 for each target
 *     node tools/with-node.js tests/quic-fuzz.ts --seconds 3600 --seed 7
 *     node tools/with-node.js tests/quic-fuzz.ts --write              puts what was found into the corpus
 *
 * Coverage comes from V8 by blocks. Reading it costs milliseconds, so a batch is run first, and halved only when it has
 * reached something new.
 */
import { appendFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { parseArgs } from 'node:util'
import { type Random, seededRandom } from 'weir-mesh/runtime'
import {
  CORPUS,
  corpusLine,
  type FuzzInput,
  type FuzzTarget,
  mutated,
  openTarget,
  readCorpus,
  TARGETS,
  type TargetName,
} from '../packages/weir/src/quic/fuzz.fixture.ts'

const BATCH = 64

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    write: { type: 'boolean', default: false },
  },
})

/** Blocks of the sources of QUIC that have run, by script and place. */
class Coverage {
  readonly #session = new Session()
  readonly #seen = new Set<string>()

  async start(): Promise<void> {
    this.#session.connect()
    await this.#session.post('Profiler.enable')
    await this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  }

  get size(): number {
    return this.#seen.size
  }

  /** What has run since the last call and was never seen before. */
  async take(): Promise<ReadonlySet<string>> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage')
    const fresh = new Set<string>()
    for (const { scriptId, url, functions } of result) {
      if (!/\/src\/quic\/[^.]+\.[tj]s$/.test(url)) continue
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count === 0) continue
          const block = `${scriptId}:${startOffset}:${endOffset}`
          if (!this.#seen.has(block)) fresh.add(block)
        }
      }
    }
    return fresh
  }

  add(blocks: ReadonlySet<string>): void {
    for (const block of blocks) this.#seen.add(block)
  }
}

async function main(): Promise<number> {
  const coverage = new Coverage()
  await coverage.start()
  console.log(`seed ${values.seed}`)
  let broken = 0
  for (const name of TARGETS)
    broken += await fuzz(name, coverage, seededRandom(Number(values.seed)))
  return broken === 0 ? 0 : 1
}

async function fuzz(name: TargetName, coverage: Coverage, random: Random): Promise<number> {
  const pool = readCorpus().filter(({ target }) => target === name)
  if (pool.length === 0) pool.push({ target: name, bytes: random.bytes(40) })
  const target = openTarget(name)
  for (const { bytes } of pool) if (!survives(target, name, bytes)) return 1
  coverage.add(await coverage.take())
  const known = coverage.size
  const until = performance.now() + (Number(values.seconds) * 1000) / TARGETS.length
  let runs = 0
  let found = 0
  while (performance.now() < until) {
    const batch = Array.from({ length: BATCH }, () => {
      const pick = () => pool[random.below(pool.length)]!.bytes
      return mutated(pick(), pick(), random)
    })
    for (const bytes of batch) if (!survives(target, name, bytes)) return 1
    runs += batch.length
    const fresh = await coverage.take()
    if (fresh.size === 0) continue
    found += await keep(pool, batch, name, target, coverage)
    // What only the batch as a whole has reached.
    coverage.add(fresh)
  }
  target[Symbol.dispose]()
  console.log(
    `${name}: ${runs} runs, ${coverage.size - known} new blocks, ${found} inputs kept of ${pool.length}`,
  )
  return 0
}

/** Keeps the inputs of a batch that reach something new by themselves, found by halving. @returns how many. */
async function keep(
  pool: FuzzInput[],
  batch: readonly Uint8Array[],
  name: TargetName,
  target: FuzzTarget,
  coverage: Coverage,
): Promise<number> {
  for (const bytes of batch) target.run(Uint8Array.from(bytes))
  const fresh = await coverage.take()
  if (fresh.size === 0) return 0
  if (batch.length > 1) {
    const middle = batch.length >> 1
    const first = await keep(pool, batch.slice(0, middle), name, target, coverage)
    return first + (await keep(pool, batch.slice(middle), name, target, coverage))
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
