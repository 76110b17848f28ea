/**
 * Puts the results of several runs together, where the scenarios were run one by one.
 *
 *     node bench/report.ts bench/results/A.json bench/results/B.json …           prints the table
 *     node bench/report.ts --record bench/results/A.json …                      and puts it into bench/README.md
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Column, formatTable } from './table.ts'

/** What a run leaves in bench/results. */
export interface Results {
  readonly date: string
  readonly machine: string
  readonly failures: readonly string[]
  readonly columns: readonly Column[]
}

const README = join(import.meta.dirname, 'README.md')

/** The table of some runs with where and when they were made. */
export function reportText(runs: readonly Results[]): string {
  const titles = [...new Set(runs.flatMap(({ columns }) => columns.map(({ title }) => title)))]
  const columns = titles.map((title): Column => {
    const rows = runs.flatMap((run) => run.columns.filter((each) => each.title === title))
    return { title, rows: rows.flatMap((each) => each.rows) }
  })
  const made = runs.map(({ date, machine }) => `- ${date.slice(0, 16)}: ${machine}`)
  const failures = runs.flatMap((run) => run.failures.map((text) => `- failed: ${text}`))
  return [formatTable(columns), '', ...made, ...failures].join('\n')
}

/** Puts a report between the two marks of the README. */
export function record(text: string): void {
  const [before, , after] = readFileSync(README, 'utf8').split(/<!-- (?:results|end) -->/)
  const parts = [`${before}<!-- results -->`, text, `<!-- end -->${after}`]
  writeFileSync(README, parts.join('\n\n'))
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { record: { type: 'boolean', default: false } },
  })
  const runs = positionals.map((path) => JSON.parse(readFileSync(path, 'utf8')) as Results)
  const text = reportText(runs)
  console.log(text)
  if (values.record) record(text)
}
