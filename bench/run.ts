/**
 * `npm run bench`: measures the compiled controller, and the library, beside what was measured of the reference.
 *
 *     npm run bench                             everything, three times; about 40 minutes
 *     npm run bench -- --only latency           one scenario, or several: --only rest,latency
 *     npm run bench -- --transport iroh,quic    over both, in turns, with a column of ratios
 *     npm run bench -- --quick                  short runs, once, for trying out
 *     npm run bench -- --repeat 1
 *     npm run bench -- --profile FOLDER         a CPU profile of every controller; read it with bench/profile.ts
 *     npm run bench -- --record                 puts the table into bench/README.md as well
 *
 * Build first: `npm run build`. The table, in Markdown, goes to standard output, the runs to bench/results as JSON.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { bursts } from './bursts.ts'
import { stopAll } from './children.ts'
import { churn } from './churn.ts'
import { controlGroup } from './control-group.ts'
import { DIST, RESULTS } from './folder.ts'
import { latency } from './latency.ts'
import { library } from './library.ts'
import { type Measure, type Scenario, toRows } from './measure.ts'
import { loadAverage } from './proc.ts'
import { type Results, record, reportText } from './report.ts'
import { rest } from './rest.ts'
import { sustained } from './sustained.ts'
import type { Column } from './table.ts'
import type { TransportName } from './zones.ts'

const SCENARIOS: readonly Scenario[] = Object.freeze([
  { name: 'rest', about: 'start, memory and CPU at rest, stop', run: rest },
  { name: 'latency', about: 'creates, edits and deletes at 5/s', run: latency },
  { name: 'sustained', about: '100 to 400 changes/s, and more than it can take', run: sustained },
  { name: 'bursts', about: '1 000 and 10 000 creates, peak memory, restart of C', run: bursts },
  { name: 'churn', about: 'what is left after five rounds', run: churn },
  { name: 'cgroup', about: '11 000 objects in 200 MiB', run: controlGroup },
  { name: 'library', about: 'catch-up between two processes', run: library, meshless: true },
])

const TRANSPORTS: readonly TransportName[] = Object.freeze(['iroh', 'quic'])

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    transport: { type: 'string', default: 'quic' },
    quick: { type: 'boolean', default: false },
    repeat: { type: 'string' },
    profile: { type: 'string' },
    record: { type: 'boolean', default: false },
  },
})

// Installed programs have no cache of compiled code: what is measured must not find the one of the checkout.
delete process.env['NODE_COMPILE_CACHE']

process.exitCode = await run()

async function run(): Promise<number> {
  const chosen = chosenOf(values.only, SCENARIOS)
  const transports = values.transport.split(',') as TransportName[]
  const repeat = Number(values.repeat ?? (values.quick ? 1 : 3))
  const unknown = transports.find((name) => !TRANSPORTS.includes(name))
  if (!chosen || unknown !== undefined || !Number.isInteger(repeat) || repeat < 1) {
    console.error(`--transport is ${TRANSPORTS.join(' or ')}, or both; --only is one or more of`)
    for (const { name, about } of SCENARIOS) console.error(`  ${name.padEnd(10)} ${about}`)
    return 2
  }
  if (!existsSync(join(DIST, 'app/main.js'))) {
    console.error('packages/mesh-controller/dist is missing; run "npm run build" first.')
    return 1
  }
  const loadBefore = loadAverage()
  const runs: Run[] = []
  for (const scenario of chosen) {
    const over = scenario.meshless ? transports.slice(0, 1) : transports
    for (let at = 1; at <= repeat; at++) {
      // In turns, so that all of them see the same machine.
      for (const transport of over) runs.push(await once(scenario, transport, `${at}/${repeat}`))
    }
  }
  const columns = transports.map((title): Column => {
    const rows = chosen.flatMap(({ name }) => {
      const own = runs.filter((each) => each.scenario === name && each.transport === title)
      return toRows(own.map(({ measures }) => measures).filter((each) => each.length > 0))
    })
    return { title, rows }
  })
  const date = new Date().toISOString()
  const machine = `${availableParallelism()} cores of ${cpus()[0]?.model ?? '?'}, Linux ${release()}, Node ${process.version}; ${repeat} runs; load of the machine ${loadBefore} before, ${loadAverage()} after`
  const failures = runs.flatMap(({ failure }) => failure ?? [])
  const results: Results = { date, machine, failures, columns }
  const text = reportText([results])
  console.log(`\n${text}\n`)
  console.log(save(results))
  if (values.record) record(text)
  return failures.length > 0 ? 1 : 0
}

interface Run {
  readonly scenario: string
  readonly transport: TransportName
  readonly measures: readonly Measure[]
  readonly failure?: string
}

/** Undefined when one of the names is unknown. */
function chosenOf(only: string | undefined, all: readonly Scenario[]): Scenario[] | undefined {
  const names = only?.split(',')
  if (names?.some((name) => !all.some((each) => each.name === name))) return undefined
  return all.filter(({ name }) => names?.includes(name) ?? true)
}

async function once(scenario: Scenario, transport: TransportName, which: string): Promise<Run> {
  const over = scenario.meshless ? '' : ` over ${transport}`
  const title = `${scenario.name}${over} ${which}`
  const say = (text: string) => console.error(`${title}: ${text}`)
  const begun = { scenario: scenario.name, transport }
  say(`begins, load of the machine ${loadAverage()}`)
  const folder = values.profile === undefined ? undefined : join(values.profile, scenario.name)
  const profile = folder && join(resolve(folder), transport)
  try {
    const mesh = { transport, profile }
    return { ...begun, measures: await scenario.run({ mesh, quick: values.quick, say }) }
  } catch (error) {
    console.error(error)
    return { ...begun, measures: [], failure: `${title}: ${(error as Error).message}` }
  } finally {
    await stopAll()
  }
}

function save(results: Results): string {
  mkdirSync(RESULTS, { recursive: true })
  const path = join(RESULTS, `${results.date.replace(/[:.]/g, '-')}.json`)
  const run = { quick: values.quick, memoryBytes: totalmem(), ...results }
  writeFileSync(path, `${JSON.stringify(run, null, 2)}\n`)
  return `results: bench/results/${path.slice(RESULTS.length + 1)}`
}
