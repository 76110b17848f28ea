/**
 * `npm run pack`: packs the three published packages and tries them as a user would get them.
 *
 *     npm run pack                  packs into a temporary folder, tries, removes
 *     npm run pack -- --out <dir>   keeps the tarballs there
 *
 * Needs a build. The tarballs are installed into an empty folder; there every command prints its version,
 * every export is imported, and the compiler reads every declaration.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { runCommand, runInstalled } from './children.ts'
import { ROOT } from './files.ts'

const PACKAGES = ['weir', 'iroh', 'mesh-controller'] as const

interface Manifest {
  readonly name: string
  readonly version: string
  readonly files: readonly string[]
  readonly bin?: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | object>>
}

const { values } = parseArgs({ options: { out: { type: 'string' } } })
const temporary = mkdtempSync(join(tmpdir(), 'weir-pack-'))
try {
  const tarballs = resolve(values.out ?? join(temporary, 'tarballs'))
  mkdirSync(tarballs, { recursive: true })
  await pack(tarballs)
  const folder = join(temporary, 'user')
  mkdirSync(folder)
  await install(tarballs, folder)
  for (const name of PACKAGES) await tryPackage(folder, name)
  console.log('The packed packages install and run.')
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  rmSync(temporary, { recursive: true, force: true })
}

/** Packs each package into a folder. */
async function pack(tarballs: string): Promise<void> {
  for (const name of PACKAGES) {
    await must(
      'npm',
      ['pack', '--silent', '--pack-destination', tarballs],
      join(ROOT, 'packages', name),
    )
  }
}

/** Installs the tarballs into a folder that has nothing else. */
async function install(tarballs: string, folder: string): Promise<void> {
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
  const files = readdirSync(tarballs).map((file) => join(tarballs, file))
  const flags = ['--ignore-scripts', '--no-fund', '--no-audit', '--loglevel=error']
  await must('npm', ['install', ...flags, ...files], folder)
}

/** Tries one package in the folder of a user. */
async function tryPackage(folder: string, name: string): Promise<void> {
  const manifest = JSON.parse(
    readFileSync(join(ROOT, 'packages', name, 'package.json'), 'utf8'),
  ) as Manifest
  const installed = readdirSync(join(folder, 'node_modules', manifest.name))
  for (const file of manifest.files) {
    if (!installed.includes(file))
      throw new Error(`${manifest.name}: ${file} is not in the tarball`)
  }
  for (const command of Object.keys(manifest.bin ?? {})) {
    console.log(`$ ${command} --version`)
    await must(process.execPath, [join('node_modules/.bin', command), '--version'], folder)
  }
  const names = Object.entries(manifest.exports)
    .filter(([, target]) => typeof target !== 'string')
    .map(([path]) => `${manifest.name}${path.slice(1)}`)
  // Importing them by name shows that each export leads to something that loads, with its own imports.
  const imports = names.map((from, i) => `import * as m${i} from '${from}'`).join('\n')
  const uses = `console.log([${names.map((_, i) => `m${i}`).join(', ')}].length, 'exports load')`
  writeFileSync(join(folder, `${name}.ts`), `${imports}\n${uses}\n`)
  await must(process.execPath, [`${name}.ts`], folder)
  const flags = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    '--skipLibCheck',
    'false',
  ]
  const types = ['--lib', 'es2024,esnext.disposable', '--types', 'node']
  const roots = ['--typeRoots', join(ROOT, 'node_modules/@types')]
  const code = await runInstalled(
    'typescript',
    'bin/tsc',
    [...flags, ...types, ...roots, `${name}.ts`],
    {
      cwd: folder,
    },
  )
  if (code !== 0) throw new Error(`${manifest.name}: its declarations do not compile`)
}

/** Runs a command that has to succeed. */
async function must(command: string, args: readonly string[], cwd: string): Promise<void> {
  const code = await runCommand(command, args, { cwd, env: environment() })
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with code ${code}`)
}

/** The environment without what the npm around this command set for the checkout. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(config_local_prefix|package_|lifecycle_|config_prefix)/.test(name),
    ),
  )
}
