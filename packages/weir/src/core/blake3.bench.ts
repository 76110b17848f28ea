/**
 * Speed of BLAKE3 beside noble: `node --conditions=weir-source blake3.bench.ts`.
 *
 * The goal is ten times noble on 1 KiB; the exit code is 1 when it is missed. Not a test: tests never assert times.
 */
import { blake3 as noble } from '@noble/hashes/blake3.js'
import { Blake3, blake3 } from './index.ts'

const RATIO_MIN = 10
const ROUNDS = 25
const ROUND_MS = 10

/** Nanoseconds of one call in one round. */
function round(run: () => unknown): number {
  const start = performance.now()
  let calls = 0
  do {
    for (let times = 0; times < 10; times++) run()
    calls += 10
  } while (performance.now() - start < ROUND_MS)
  return ((performance.now() - start) * 1e6) / calls
}

console.log(`Node ${process.version}; best of ${ROUNDS} interleaved rounds`)
for (const size of [32, 256, 1024, 4096, 65_536]) {
  const input = Uint8Array.from({ length: size }, (_, at) => at % 251)
  const runs = [() => blake3(input), () => new Blake3().update(input).digest(), () => noble(input)]
  const best = runs.map(() => Infinity)
  for (let at = 0; at < ROUNDS; at++) {
    runs.forEach((run, index) => {
      best[index] = Math.min(best[index] ?? Infinity, round(run))
    })
  }
  const [own = 0, pieces = 0, other = 0] = best
  const ratio = other / own
  const speed = `${Math.round((size / own) * 1000)} MB/s`
  console.log(
    `${String(size).padStart(6)} B ${own.toFixed(0).padStart(8)} ns ${speed.padStart(9)}` +
      `  in pieces ${pieces.toFixed(0)} ns, noble ${other.toFixed(0)} ns: ${ratio.toFixed(1)}x`,
  )
  if (size === 1024 && ratio < RATIO_MIN) process.exitCode = 1
}
