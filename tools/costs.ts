/**
 * `npm run costs`: holds the plan against what V8 really takes.
 *
 *     npm run costs                 fills every term and compares: measured <= planned <= 1.6 x measured
 *     npm run costs -- sync ids     only cases whose folder or name contains one of these
 *     npm run costs -- --floor      measures the empty programs and writes packages/weir/src/bounds/floors.ts
 *
 * A folder's cases are the `costs` of its `memory.costs.ts` (see `CostCase` in weir-mesh/bounds). Each case is filled in a
 * process of its own, from source. A cost outside the bounds and a term without a case are failures.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import type { CostCase } from 'weir-mesh/bounds'
import { type ChildResult, runNode } from './costs/child.ts'
import { casesOf, measureCase, type Outcome } from './costs/fill.ts'
import { writeFloors } from './costs/floors.ts'
import { filesBelow, ROOT } from './files.ts'

const RATIO_MAX = 1.6

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    floor: { type: 'boolean' },
    // For the children of this program.
    case: { type: 'string' },
  },
})

interface Listed {
  readonly folder: string
  readonly name: string
  readonly file: string
  readonly index: number
}

async function compareAll(filters: readonly string[]): Promise<void> {
  const all = filesBelow(join(ROOT, 'packages'))
  const listed: Listed[] = []
  const missing = new Set(all.filter((file) => MEMORY.test(basename(file))).flatMap(termNames))
  for (const file of all.filter((each) => basename(each) === 'memory.costs.ts')) {
    const folder = folderOf(file)
    for (const [index, each] of (await casesOf(file)).entries()) {
      missing.delete(`${folder} ${each.term.name}`)
      // What a pool holds is what its members hold.
      if (each.term.pool) missing.delete(`${folder} ${each.term.pool.name}`)
      listed.push({ folder, name: nameOf(each), file, index })
    }
  }
  const wanted = listed.filter(
    ({ folder, name }) =>
      filters.length === 0 || filters.some((part) => folder.includes(part) || name.includes(part)),
  )
  const judged = (await runAll(wanted)).map(judge)
  const rows = wanted.map(({ folder, name }, at) => [folder, name, ...judged[at]!.cells])
  const failures = judged.filter(({ ok }) => !ok).length
  console.log(table([HEAD, ...rows]))
  if (rows.length === 0) console.error('No case matches.')
  else console.log(`${rows.length} cases, ${failures} outside 1.00 to ${RATIO_MAX}`)
  const uncovered = filters.length === 0 ? [...missing].sort() : []
  if (uncovered.length > 0) console.error(`without a case: ${uncovered.join(', ')}`)
  if (failures > 0 || rows.length === 0 || uncovered.length > 0) process.exitCode = 1
}

/** Files that declare terms. */
const MEMORY = /^(\w+-)?memory\.ts$/

const folderOf = (file: string): string => dirname(relative(join(ROOT, 'packages'), file))

const nameOf = ({ term, variant }: CostCase): string =>
  variant ? `${term.name} (${variant})` : term.name

/** The terms that a module declares, as far as their names are written out. */
function termNames(file: string): string[] {
  const names = readFileSync(file, 'utf8').matchAll(/\bname: '([a-z][a-z0-9.-]*\.[a-z0-9.-]+)'/g)
  return [...names].map((match) => `${folderOf(file)} ${match[1]!}`)
}

/** Two at once where there are two cores: no figure depends on time. */
async function runAll(cases: readonly Listed[]): Promise<readonly ChildResult[]> {
  const cache = mkdtempSync(join(tmpdir(), 'weir-costs-'))
  const results: ChildResult[] = new Array(cases.length)
  let next = 0
  const work = async () => {
    for (let at = next++; at < cases.length; at = next++) {
      const { file, index } = cases[at]!
      // Code that has not run for a few collections would go, and with it a part of what is measured.
      const flags = ['--conditions=weir-source', '--expose-gc', '--no-flush-bytecode']
      results[at] = await runNode([...flags, import.meta.filename, '--case', file, String(index)], {
        env: { NODE_COMPILE_CACHE: cache },
      })
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(availableParallelism(), 2) }, work))
    return results
  } finally {
    rmSync(cache, { recursive: true, force: true })
  }
}

interface Judged {
  readonly ok: boolean
  readonly cells: readonly string[]
}

const HEAD = Object.freeze([
  ...['folder', 'term', 'arena', 'filled', 'planned', 'measured', 'ratio', ''],
])

function judge(child: ChildResult): Judged {
  if (child.error) return { ok: false, cells: ['', '', '', '', '', child.error] }
  const outcome = JSON.parse(child.text) as Outcome
  const ratio = outcome.plannedBytes / outcome.measuredBytes
  const ok = ratio >= 1 && ratio <= RATIO_MAX
  const verdict = ok ? 'ok' : ratio > RATIO_MAX ? 'PLANNED TOO MUCH' : 'MORE THAN PLANNED'
  const cells = [
    outcome.arena,
    `${outcome.instances} x`,
    outcome.plannedBytes.toFixed(0),
    outcome.measuredBytes.toFixed(0),
    ratio.toFixed(2),
    verdict,
  ]
  return { ok, cells }
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

if (values.case !== undefined) {
  const cases = await casesOf(values.case)
  console.log(JSON.stringify(await measureCase(cases[Number(positionals[0])]!)))
  // Connections and timers of a filling would keep the child.
  process.exit()
} else if (values.floor) await writeFloors()
else await compareAll(positionals)
