/**
 * `npm run check`: everything that is checked without running the programs.
 *
 *     npm run check                 all checks; each one runs, so that one failure does not hide another
 *     npm run check -- types tidy   only some: types, format, unused, lock, tidy
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInstalled } from './children.ts'
import { ROOT } from './files.ts'
import { type Lock, problemsOf } from './lock.ts'
import { tidyCheckout } from './tidy/index.ts'

/** The checks by name; each resolves with an exit code. */
const CHECKS: Readonly<Record<string, () => Promise<number>>> = Object.freeze({
  types: () => runInstalled('typescript', 'bin/tsc', ['-p', 'tsconfig.json', '--noEmit']),
  // Formatting and lint, floating promises among it.
  format: () => runInstalled('@biomejs/biome', 'bin/biome', ['check', '--error-on-warnings']),
  unused: () => runInstalled('knip', 'bin/knip.js', ['--no-progress', '--no-config-hints']),
  lock: async () => {
    const text = readFileSync(join(ROOT, 'package-lock.json'), 'utf8')
    return report(problemsOf(JSON.parse(text) as Lock))
  },
  tidy: async () =>
    report(
      tidyCheckout().map(({ path, line, rule, message }) => `${path}:${line} ${rule}: ${message}`),
    ),
})

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !(name in CHECKS))
if (unknown.length > 0) {
  console.error(
    `There is no check ${unknown.join(', ')}; there are ${Object.keys(CHECKS).join(', ')}.`,
  )
  process.exitCode = 1
} else {
  process.exitCode = await check(
    Object.keys(CHECKS).filter((name) => asked.length === 0 || asked.includes(name)),
  )
}

/** Runs checks and says how each went. */
async function check(names: readonly string[]): Promise<number> {
  const failed: string[] = []
  for (const name of names) {
    const started = performance.now()
    const code = (await CHECKS[name]?.()) ?? 1
    if (code !== 0) failed.push(name)
    console.log(
      `${code === 0 ? 'ok' : 'FAILED'} ${name} (${Math.round(performance.now() - started)} ms)`,
    )
  }
  if (failed.length > 0) console.error(`Failed: ${failed.join(', ')}`)
  return failed.length === 0 ? 0 : 1
}

/** Prints problems, one a line. */
function report(problems: readonly string[]): number {
  for (const problem of problems) console.error(problem)
  return problems.length === 0 ? 0 : 1
}
