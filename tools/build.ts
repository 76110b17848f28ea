/**
 * `npm run build`: compiles what is published into the `dist/` of each package.
 *
 *     npm run build              all three
 *     npm run build -- weir      only one, when those it depends on are built
 *
 * The order is that of the dependencies, because each package is compiled against the declarations of the
 * built ones, as a user of the published packages would see them. The licences are copied beside, for packing.
 */
import { copyFileSync, existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { runInstalled } from './children.ts'
import { ROOT } from './files.ts'

/** The published members, each after those it depends on. */
const PACKAGES = ['weir', 'iroh', 'mesh-controller'] as const

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !PACKAGES.some((known) => known === name))
if (unknown.length > 0) {
  console.error(`There is no package ${unknown.join(', ')}; there are ${PACKAGES.join(', ')}.`)
  process.exitCode = 1
} else {
  process.exitCode = await build(
    PACKAGES.filter((name) => asked.length === 0 || asked.includes(name)),
  )
}

/** Compiles the packages in their order; the first one that fails ends it. */
async function build(packages: readonly string[]): Promise<number> {
  for (const name of packages) {
    const folder = join(ROOT, 'packages', name)
    const started = performance.now()
    rmSync(join(folder, 'dist'), { recursive: true, force: true })
    const code = await runInstalled('typescript', 'bin/tsc', [
      '-p',
      `${folder}/tsconfig.build.json`,
    ])
    if (code !== 0) {
      console.error(`packages/${name} does not compile.`)
      return code
    }
    for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) {
      if (existsSync(join(ROOT, licence))) copyFileSync(join(ROOT, licence), join(folder, licence))
    }
    console.log(`packages/${name}/dist: ${Math.round(performance.now() - started)} ms`)
  }
  return 0
}
