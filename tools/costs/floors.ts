/**
 * `npm run costs -- --floor`: what the programs take before they hold anything, as source and as built.
 *
 * A program is loaded as it is started: its entry, what planning loads (the transport backend), with the flags and the
 * allocator of its launcher. What it only loads to serve others, such as the embedded API, is not in it.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { ROOT } from '../files.ts'
import { runNode } from './child.ts'

const MIB = 2 ** 20
const RUNS = 5
const STEP_BYTES = MIB / 2
const MARGIN = 1.03

interface ProgramStart {
  readonly program: string
  readonly folder: string
  /** Modules below `src` or `dist`: the entry of the command, and what else it loads before it opens anything. */
  readonly modules: readonly string[]
  /** Plans once, so that the transport backend is loaded. */
  readonly plan: string
  readonly semiSpaceMiB: number
}

/** In the order of the generated file. */
const PROGRAMS: readonly ProgramStart[] = Object.freeze([
  {
    program: 'library',
    folder: 'packages/weir',
    modules: ['cli/main', 'node/plan', 'store/sqlite-store'],
    plan: 'loaded[1].planNode({ memoryBytes: 2 ** 40, durable: true })',
    semiSpaceMiB: 2,
  },
  {
    program: 'controller',
    folder: 'packages/mesh-controller',
    modules: ['app/main', 'app/index'],
    plan: `loaded[1].planController({
      memoryBytes: 2 ** 40, peers: [], unknownPeers: 'refuse', resources: [{}]
    })`,
    semiSpaceMiB: 1,
  },
])

/** Measures each program as source and as built; one that is not built gets the larger floor of its source. */
export async function writeFloors(): Promise<void> {
  const rows: string[] = []
  for (const each of PROGRAMS) {
    const source = await floorOf(each, 'src', 'ts')
    const built = existsSync(join(ROOT, each.folder, 'dist', `${each.modules[0]}.js`))
    const dist = built ? await floorOf(each, 'dist', 'js') : source
    if (!built) console.error(`${each.folder} is not built: its floor is that of its source.`)
    rows.push(`  ${each.program}: Object.freeze({ source: ${source}, dist: ${dist} }),`)
  }
  const path = join(ROOT, 'packages/weir/src/bounds/floors.ts')
  writeFileSync(path, FLOORS_TEXT.replace('ROWS', rows.join('\n')))
  console.log(`wrote ${relative(ROOT, path)}`)
}

async function floorOf(each: ProgramStart, form: 'src' | 'dist', ending: string): Promise<number> {
  const conditions = form === 'src' ? ['--conditions=weir-source'] : []
  const files = each.modules.map((name) => join(ROOT, each.folder, form, `${name}.${ending}`))
  const args = [...conditions, '--input-type=module', '-e', emptyProgram(each.plan), ...files]
  const runs: number[] = []
  for (let run = 0; run < RUNS; run++) {
    const { text, error } = await runNode(args, { semiSpaceMiB: each.semiSpaceMiB })
    if (error) throw new Error(`${each.program} from ${form} does not load: ${error}`)
    runs.push(Number(text))
  }
  runs.sort((a, b) => a - b)
  const floor = Math.ceil((runs[RUNS >> 1]! * MARGIN) / STEP_BYTES) * STEP_BYTES
  const shown = runs.map((bytes) => (bytes / MIB).toFixed(1)).join(' ')
  console.log(`${each.program} from ${form}: ${shown} MiB, planned ${(floor / MIB).toFixed(1)} MiB`)
  return floor
}

/** The empty program. In plain JavaScript: this file would bring the type stripping along. */
const emptyProgram = (plan: string): string => `
  const loaded = []
  for (const file of process.argv.slice(1)) loaded.push(await import(file))
  await ${plan}
  await new Promise((resolve) => setTimeout(resolve, 200))
  console.log(process.memoryUsage().rss)
`

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
