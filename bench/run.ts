/**
 * `npm run bench`: measures the compiled controller, and the library, beside what was measured of the reference.
 *
 *     npm run bench                        everything, three times; about half an hour
 *     npm run bench -- --only latency      one scenario, or several: --only rest,latency
 *     npm run bench -- --quick             short runs, once, for trying out
 *     npm run bench -- --repeat 1
 *
 * Build first: `npm run build`. Rows go to standard output as a table and to bench/results as JSON.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { stopAll } from './children.ts'
import { controlGroup } from './control-group.ts'
import { DIST, RESULTS } from './folder.ts'
import { latency } from './latency.ts'
import { library } from './library.ts'
import { bursts, churn, sustained } from './load.ts'
import { formatTable, type Measure, type Row, type Scenario, toRows } from './measure.ts'
import { loadAverage } from './proc.ts'
import { rest } from './rest.ts'

const SCENARIOS: readonly Scenario[] = Object.freeze([
  { name: 'rest', about: 'start, memory and CPU at rest, stop', run: rest },
  { name: 'latency', about: 'creates, edits and deletes at 5/s', run: latency },
  { name: 'sustained', about: '100 to 400 changes/s, and more than it can take', run: sustained },
  { name: 'bursts', about: '1 000 and 10 000 creates, peak memory, restart of C', run: bursts },
  { name: 'churn', about: 'what is left after five rounds', run: churn },
  { name: 'library', about: 'catch-up between two processes, no cluster', run: library },
  { name: 'cgroup', about: '11 000 objects in 200 MiB', run: controlGroup },
])

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    repeat: { type: 'string' },
  },
})

process.exitCode = await run()

async function run(): Promise<number> {
  const names = values.only?.split(',')
  const unknown = names?.filter((name) => !SCENARIOS.some((each) => each.name === name)) ?? []
  const repeat = Number(values.repeat ?? (values.quick ? 1 : 3))
  if (unknown.length > 0 || !Number.isInteger(repeat) || repeat < 1) {
    console.error(`There is no scenario ${unknown.join(', ')}; there are:`)
    for (const { name, about } of SCENARIOS) console.error(`  ${name.padEnd(10)} ${about}`)
    return 2
  }
  if (!existsSync(join(DIST, 'app/main.js'))) {
    console.error('packages/mesh-controller/dist is missing; run "npm run build" first.')
    return 1
  }
  const rows: Row[] = []
  const failures: string[] = []
  for (const scenario of SCENARIOS) {
    if (names && !names.includes(scenario.name)) continue
    const { found, failed } = await repeated(scenario, repeat)
    rows.push(...toRows(found))
    failures.push(...failed)
  }
  console.log(`\n${formatTable(rows)}\n`)
  for (const failure of failures) console.log(`failed: ${failure}`)
  console.log(save(rows, failures, repeat))
  return failures.length > 0 ? 1 : 0
}

async function repeated(scenario: Scenario, repeat: number) {
  const found: Measure[][] = []
  const failed: string[] = []
  for (let at = 1; at <= repeat; at++) {
    const say = (text: string) => console.error(`${scenario.name} ${at}/${repeat}: ${text}`)
    say(`begins, load of the machine ${loadAverage()}`)
    try {
      found.push(await scenario.run({ quick: values.quick, say }))
    } catch (error) {
      failed.push(`${scenario.name} ${at}/${repeat}: ${(error as Error).message}`)
      console.error(error)
    } finally {
      await stopAll()
    }
  }
  return { found, failed }
}

function save(rows: readonly Row[], failures: readonly string[], repeat: number): string {
  mkdirSync(RESULTS, { recursive: true })
  const path = join(RESULTS, `${new Date().toISOString().replace(/[:.]/g, '-')}.json`)
  const machine = {
    node: process.version,
    linux: release(),
    cpu: cpus()[0]?.model ?? '',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    load: loadAverage(),
  }
  const run = { date: new Date().toISOString(), quick: values.quick, repeat, machine }
  writeFileSync(path, `${JSON.stringify({ ...run, failures, rows }, null, 2)}\n`)
  return `results: bench/results/${path.slice(RESULTS.length + 1)}`
}
