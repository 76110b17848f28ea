/**
 * Simulates log sync under many seeds: `node tools/with-node.js sim/run.ts --seeds 10000 [--from 1]`.
 *
 * A seed that fails is printed with its error; the exit code is then 1. `--seed N` runs one and prints its outcome.
 */
import { parseArgs } from 'node:util'
import { type Outcome, runSync } from './sync-scenario.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
  },
})

if (values.seed !== undefined) console.log(runSync(Number(values.seed), { trace: console.log }))
else {
  const from = Number(values.from)
  const count = Number(values.seeds)
  const started = performance.now()
  const sums = new Map<string, number>()
  let failed = 0
  for (let seed = from; seed < from + count; seed++) {
    try {
      const outcome = runSync(seed)
      for (const name of Object.keys(outcome) as (keyof Outcome)[]) {
        if (name === 'digest') continue
        const before = sums.get(name) ?? 0
        const most = name === 'still' || name === 'restMs'
        sums.set(name, most ? Math.max(before, outcome[name]) : before + outcome[name])
        if (most && outcome[name] > before) sums.set(`${name} at seed`, seed)
      }
    } catch (error) {
      failed++
      if (failed <= 5) console.error(`seed ${seed}:`, error)
      else console.error(`seed ${seed}: ${error instanceof Error ? error.message : error}`)
    }
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`${count} seeds in ${seconds} s, ${failed} failed`, Object.fromEntries(sums))
  if (failed > 0) process.exitCode = 1
}
