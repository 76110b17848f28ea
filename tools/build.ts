/**
 * `npm run build`: compiles what is published into the `dist/` of each package.
 *
 *     npm run build              all three
 *     npm run build -- weir      only one, when those it depends on are built
 *
 * The order is that of the dependencies, because each package is compiled against the declarations of the
 * built ones, as a user of the published packages would see them. What was compiled is joined into a few files. The
 * licences are copied beside, for packing.
 */
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type BundleOptions, bundle } from './bundle.ts'
import { runInstalled } from './children.ts'
import { ROOT } from './files.ts'

/** The published members, each after those it depends on. */
const PACKAGES = ['weir', 'iroh', 'mesh-controller'] as const

/**
 * How each is joined, and what is started by its path, beside the exports of the manifest. The library stays a file a
 * folder, which is what its users import; the controller is split by what its two processes need. What only plans
 * imports `weir-mesh/plan`, which has copies of the terms and limits of all the folders.
 */
const JOINED: Readonly<Record<(typeof PACKAGES)[number], Omit<BundleOptions, 'folder'>>> =
  Object.freeze({
    weir: {
      together: 'folder',
      entries: ['cli/main', 'quic/open'],
      apart: ['cli/main'],
      copying: { folder: 'plan', not: ['runtime', 'bounds'] },
    },
    iroh: { together: 'package', entries: [] },
    'mesh-controller': {
      together: 'package',
      entries: ['app/main', 'app/demo', 'api-server/main'],
      // What waits for it counts each module of it.
      apart: ['app/main'],
      takenIn: ['yaml', 'valibot'],
    },
  })

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
async function build(packages: readonly (typeof PACKAGES)[number][]): Promise<number> {
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
    const { entries, ...how } = JOINED[name]
    await bundle({ folder, ...how, entries: [...exportsOf(folder), ...entries] })
    for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) {
      if (existsSync(join(ROOT, licence))) copyFileSync(join(ROOT, licence), join(folder, licence))
    }
    console.log(`packages/${name}/dist: ${Math.round(performance.now() - started)} ms`)
  }
  return 0
}

/** The modules that the manifest exports, as paths below `dist/` without extension. */
function exportsOf(folder: string): string[] {
  const { exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    readonly exports: Readonly<Record<string, string | { readonly default: string }>>
  }
  return Object.values(exports).flatMap((target) => {
    const path = typeof target === 'string' ? undefined : target.default
    return /^\.\/dist\/(.+)\.js$/.exec(path ?? '')?.[1] ?? []
  })
}
