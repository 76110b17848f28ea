/**
 * `npm run costs`: holds the plan against what V8 really takes.
 *
 *     npm run costs                 fills every term that has a case and compares: measured <= planned <= 1.6 x measured
 *     npm run costs -- sync ids     only cases whose folder or name contains one of these
 *     npm run costs -- --floor      measures the empty programs and writes packages/weir/src/bounds/floors.ts
 *
 * A folder's cases are the `costs` of its `memory.costs.ts` (see `CostCase` in weir-mesh/bounds). Each case is filled in a
 * process of its own, from source, after a few that warm it up, and measured after forced collections.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import {
  type Account,
  type CostCase,
  forceCollection,
  Ledger,
  planMemory,
  type Term,
  tableBytes,
} from 'weir-mesh/bounds'
import { filesBelow, ROOT } from './files.ts'

const MIB = 2 ** 20
const RATIO_MAX = 1.6
/** A filling ends within this share of the payload's cap. */
const FILLED = 0.95
const INSTANCES_MAX = 50_000
/** Fillings before the first measurement, for code, feedback and hidden classes. */
const WARM_UPS = 3

interface Outcome {
  readonly instances: number
  readonly plannedBytes: number
  readonly measuredBytes: number
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    floor: { type: 'boolean' },
    // For the children of this program.
    case: { type: 'string' },
  },
})

async function compareAll(filters: readonly string[]): Promise<void> {
  const all = filesBelow(join(ROOT, 'packages'))
  const files = all.filter((file) => basename(file) === 'memory.costs.ts')
  const declared = new Set(all.filter((file) => basename(file) === 'memory.ts').flatMap(termNames))
  const rows: string[][] = []
  let failures = 0
  for (const file of files) {
    const cases = await casesOf(file)
    for (const [index, each] of cases.entries()) {
      const folder = relative(join(ROOT, 'packages'), file).replace(/\/memory\.costs\.ts$/, '')
      declared.delete(each.term.name)
      const name = each.variant ? `${each.term.name} (${each.variant})` : each.term.name
      const wanted = (filter: string) => folder.includes(filter) || name.includes(filter)
      if (filters.length > 0 && !filters.some(wanted)) continue
      const [verdict, cells] = judge(runCase(file, index))
      if (verdict !== 'ok') failures++
      rows.push([folder, name, ...cells, verdict])
    }
  }
  const head = ['folder', 'term', 'arena', 'filled', 'planned', 'measured', 'ratio', '']
  console.log(table([head, ...rows]))
  if (rows.length === 0) console.error('No case matches.')
  else console.log(`${rows.length} cases, ${failures} outside 1.00 to ${RATIO_MAX}`)
  if (filters.length === 0 && declared.size > 0) {
    console.log(`without a case: ${[...declared].sort().join(', ')}`)
  }
  if (failures > 0 || rows.length === 0) process.exitCode = 1
}

/** The terms that a module declares, as far as their names are written out. */
function termNames(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(/\bname: '([a-z][a-z0-9.-]*\.[a-z0-9.-]+)'/g)].map(
    (match) => match[1]!,
  )
}

async function casesOf(file: string): Promise<readonly CostCase[]> {
  const loaded = (await import(pathToFileURL(file).href)) as { costs?: readonly CostCase[] }
  if (!loaded.costs) throw new Error(`${relative(ROOT, file)} exports no 'costs'.`)
  return loaded.costs
}

function judge(child: ChildResult): [verdict: string, cells: string[]] {
  if (child.error) return [child.error, ['', '', '', '', '']]
  const outcome = JSON.parse(child.text) as Outcome & { arena: string }
  const ratio = outcome.plannedBytes / outcome.measuredBytes
  const cells = [
    outcome.arena,
    `${outcome.instances} x`,
    outcome.plannedBytes.toFixed(0),
    outcome.measuredBytes.toFixed(0),
    ratio.toFixed(2),
  ]
  if (ratio < 1) return ['MORE THAN PLANNED', cells]
  return [ratio > RATIO_MAX ? 'PLANNED TOO MUCH' : 'ok', cells]
}

/** In the child: fills the accounts of one case and prints what one of them plans and takes. */
async function measureCase(file: string, index: number): Promise<void> {
  const each = (await casesOf(file))[index]!
  const { arena } = each.term
  const oneBytes =
    tableBytes(each.term.entriesMax, each.term.table) +
    each.term.entriesMax * each.term.shellBytes +
    each.term.payloadBytesMax
  const enough = Math.ceil(((arena === 'native' ? 32 : 16) * MIB) / oneBytes)
  const instances = Math.min(each.instances ?? enough, INSTANCES_MAX)
  const ledger = ledgerFor(each.term, WARM_UPS + instances)
  const [term] = ledger.plan.rows.map((row) => row.term)
  const kept: unknown[] = new Array(WARM_UPS + instances)
  const accounts: Account[] = new Array(WARM_UPS + instances)
  const fill = async (at: number) => {
    const account = ledger.require(term!)
    accounts[at] = account
    kept[at] = await each.fill(account, at)
  }
  for (let at = 0; at < WARM_UPS; at++) await fill(at)
  checkFilled(accounts[0]!)
  const before = await settledBytes(arena)
  for (let at = 0; at < instances; at++) await fill(WARM_UPS + at)
  const after = await settledBytes(arena)
  const outcome: Outcome & { arena: string } = {
    arena,
    instances,
    plannedBytes: oneBytes,
    measuredBytes: (after - before) / instances,
  }
  for (const account of accounts) checkFilled(account)
  console.log(JSON.stringify(outcome))
  // Nothing may be collected before it was measured.
  if (kept.length === 0) console.error(kept)
}

/** A ledger over a copy of the term with room for all fillings, and with so much beside that there is no pressure. */
function ledgerFor(term: Term, instances: number): Ledger {
  const pool = term.pool && { ...term.pool, payloadBytesMax: instances * term.payloadBytesMax }
  const copy: Term = { ...term, instancesMax: instances, pool }
  const spare: Term = {
    ...term,
    name: 'cost.spare',
    table: 'none',
    entriesMax: 0,
    instancesMax: 1,
    pool: undefined,
    payloadBytesMax: 2 ** 40,
  }
  return new Ledger(planMemory([copy, spare], { limitBytes: 2 ** 42 }))
}

function checkFilled(account: Account): void {
  const { entriesMax, payloadBytesMax, name } = account.term
  if (account.entries === entriesMax && account.bytes >= FILLED * payloadBytesMax) return
  throw new Error(
    `${name} is not filled: ${account.entries} of ${entriesMax} entries, ${account.bytes} of ${payloadBytesMax} bytes`,
  )
}

/** Heap with everything outside that it accounts for; for native objects, which it does not see, the resident set. */
async function settledBytes(arena: Term['arena']): Promise<number> {
  for (let round = 0; round < 4; round++) {
    forceCollection()
    await sleep(10)
  }
  const usage = process.memoryUsage()
  return arena === 'native' ? usage.rss : usage.heapUsed + usage.external
}

/** An empty program: how it is found as source and as built, in the order of the generated file. */
const PROGRAMS = Object.freeze([
  { program: 'library', folder: 'packages/weir' },
  { program: 'controller', folder: 'packages/mesh-controller' },
] as const)

const FLOOR_RUNS = 5
const FLOOR_STEP = MIB / 2

/** Measures each program as source and as built; one that is not built gets the larger floor of its source. */
function writeFloors(): void {
  const floors = PROGRAMS.map(({ program, folder }) => {
    const source = floorOf(program, 'source', entries(join(ROOT, folder, 'src'), 'source'))
    const built = entries(join(ROOT, folder, 'dist'), 'dist')
    const dist = built.length === 0 ? source : floorOf(program, 'dist', built)
    return `  ${program}: Object.freeze({ source: ${source}, dist: ${dist} }),`
  })
  const path = join(ROOT, 'packages/weir/src/bounds/floors.ts')
  writeFileSync(path, FLOORS_TEXT.replace('ROWS', floors.join('\n')))
  console.log(`wrote ${relative(ROOT, path)}`)
}

/** The index of the package, or while it has none the index of each folder. */
function entries(folder: string, mode: 'source' | 'dist'): string[] {
  const index = mode === 'source' ? 'index.ts' : 'index.js'
  if (!existsSync(folder)) return []
  if (existsSync(join(folder, index))) return [join(folder, index)]
  return readdirSync(folder)
    .map((name) => join(folder, name, index))
    .filter((file) => existsSync(file))
}

function floorOf(program: string, mode: 'source' | 'dist', files: string[]): number {
  const runs = Array.from({ length: FLOOR_RUNS }, () => {
    const conditions = mode === 'source' ? ['--conditions=weir-source'] : []
    const { text, error } = runNode([...conditions, '--input-type=module', '-e', EMPTY, ...files])
    if (error) throw new Error(`${program} from ${mode} does not load: ${error}`)
    return Number(text)
  }).sort((a, b) => a - b)
  const median = runs[FLOOR_RUNS >> 1]!
  const floor = Math.ceil((median * 1.03) / FLOOR_STEP) * FLOOR_STEP
  const shown = runs.map((bytes) => (bytes / MIB).toFixed(1)).join(' ')
  console.log(`${program} from ${mode}: ${shown} MiB, planned ${(floor / MIB).toFixed(1)} MiB`)
  return floor
}

/** The empty program. In plain JavaScript: this file would bring the type stripping along. */
const EMPTY = `
  for (const file of process.argv.slice(1)) await import(file)
  await new Promise((resolve) => setTimeout(resolve, 200))
  console.log(process.memoryUsage().rss)
`

function runCase(file: string, index: number): ChildResult {
  const flags = ['--conditions=weir-source', '--expose-gc']
  return runNode([...flags, import.meta.filename, '--case', file, String(index)])
}

interface ChildResult {
  readonly text: string
  readonly error: string
}

function runNode(args: readonly string[]): ChildResult {
  const flags = ['--max-semi-space-size=4']
  const child = spawnSync(process.execPath, [...flags, ...args], { encoding: 'utf8' })
  if (child.status === 0) return { text: child.stdout.trim(), error: '' }
  const reason = /^\s*(?:Uncaught )?\w*Error.*: .*$/m.exec(child.stderr)?.[0].trim()
  return { text: '', error: reason ?? `ended with ${child.signal ?? child.status}` }
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map((row) =>
      row
        .map((cell, at) =>
          at > 2 && at < 7 ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

const FLOORS_TEXT = `/**
 * What the programs take before they hold anything: resident bytes after loading, measured by \`npm run costs -- --floor\`,
 * which writes this file. Stripping types at start keeps its part, so each program has two.
 */
export const FLOOR_BYTES = Object.freeze({
ROWS
})

export type Program = keyof typeof FLOOR_BYTES

/** The floor of a program in the form that runs now: from source in a checkout, else as built. */
export function floorBytes(program: Program): number {
  return FLOOR_BYTES[program][import.meta.filename.endsWith('.ts') ? 'source' : 'dist']
}
`

if (values.case !== undefined) await measureCase(values.case, Number(positionals[0]))
else if (values.floor) writeFloors()
else await compareAll(positionals)
