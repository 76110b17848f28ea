/**
 * Joins what the compiler wrote for a package into a few files, as the last step of `npm run build`.
 *
 * Node resolves, reads, compiles and links each module by itself, which costs most of a millisecond of CPU time: the
 * 350 of the controller and the library cost more than everything it does until it is ready. What is joined behaves as
 * before: the same entries at the same places, names that a person can read in a stack trace, lazy imports still lazy.
 * Built-in modules are taken from the process; see `builtin-imports.ts`.
 *
 * The rules that must hold: a package never takes in another package of ours, so that a class such as `WeirError` is
 * there once; what imports lazily may not end up in the file of its importer; and where an entry gets copies of what
 * it needs of other folders, those are functions and constants, not classes or state.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { build, type Plugin } from 'esbuild'
import { builtinImports } from './builtin-imports.ts'
import { directImports } from './direct-imports.ts'

export interface BundleOptions {
  /** The folder of the package; its `dist/` is replaced. */
  readonly folder: string
  /** Modules of `dist/` that are started or imported from outside, without extension, such as `cli/main`. */
  readonly entries: readonly string[]
  /**
   * What is shaken and split as one. With `folder` each folder of `dist/` is one file, and imports of other folders
   * stay imports; with `package` a module that only some entries need goes into a file of its own.
   */
  readonly together: 'folder' | 'package'
  /**
   * With `folder`: one that is a file with copies of what it imports of the others, so that who needs little of each
   * does not load them. What it imports lazily stays where it is, and must be an entry.
   */
  readonly copying?: {
    readonly folder: string
    /** Folders with classes and state: they are there once. */
    readonly not: readonly string[]
  }
  /**
   * Entries that are started and that nothing imports. Each is joined by itself, so that it does not
   * come in as many pieces as the other entries share with it.
   */
  readonly apart?: readonly string[]
  /** Packages of others that are taken in with their licences; the rest is imported as it is. */
  readonly takenIn?: readonly string[]
}

/** @throws when an entry is missing or a module cannot be read; `dist/` is then as the compiler left it. */
export async function bundle(options: BundleOptions): Promise<void> {
  const dist = join(options.folder, 'dist')
  const draft = join(options.folder, 'dist.draft')
  rmSync(draft, { recursive: true, force: true })
  try {
    for (const entries of groupsOf(options)) {
      await build({
        entryPoints: entries.map((entry) => join(dist, `${entry}.js`)),
        outbase: dist,
        outdir: draft,
        bundle: true,
        splitting: true,
        // As deep as an entry, so that `new URL('../../package.json', import.meta.url)` leads to the same place.
        chunkNames: `${options.together === 'folder' ? dirname(entries[0]!) : 'parts'}/[name]-[hash]`,
        // Of a package that is taken in neither the form for Node, which may call `require`, nor that for browsers.
        platform: 'neutral',
        format: 'esm',
        target: 'es2024',
        logLevel: 'warning',
        plugins: [
          outside(options, dist, dirname(entries[0]!)),
          direct(options, dist, dirname(entries[0]!)),
          packages(options.takenIn ?? []),
        ],
      })
    }
    writeNotices(draft, options)
    replaceScripts(dist, draft)
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}

function groupsOf({ entries, together, apart = [] }: BundleOptions): string[][] {
  const rest = entries.filter((entry) => !apart.includes(entry))
  const groups =
    together === 'package' ? [rest] : Map.groupBy(rest, (entry) => dirname(entry)).values()
  return [...groups, ...apart.map((entry) => [entry])]
}

/** Leaves imports that lead out of the group as they are, and says that no module of ours acts when it is imported. */
function outside(options: BundleOptions, dist: string, group: string): Plugin {
  const { together, copying, entries } = options
  const top = (path: string) => relative(dist, path).split(sep).slice(0, -1)[0] ?? ''
  const copies = together === 'folder' && copying?.folder === group ? copying : undefined
  const isTaken = (kind: string, target: string, importer: string) => {
    if (together === 'package') return true
    if (!copies) return top(target) === top(importer)
    return kind !== 'dynamic-import' && !copies.not.includes(top(target))
  }
  return {
    name: 'outside',
    setup({ onResolve }) {
      onResolve({ filter: /^\.\.?\// }, ({ kind, path, resolveDir, importer }) => {
        if (kind === 'entry-point' || !importer.startsWith(dist + sep)) return undefined
        const target = resolve(resolveDir, path)
        const inDist = target.startsWith(dist + sep)
        if (inDist && isTaken(kind, target, importer)) return { path: target, sideEffects: false }
        if (copies && !entries.includes(relative(dist, target).replace(/\.js$/, ''))) {
          return {
            errors: [{ text: `${path} is no entry, so a copy of ${importer} cannot import it` }],
          }
        }
        // From where the entries and parts are, which is one folder below `dist/` or `dist/` itself.
        const from = relative(join(dist, copies ? group : top(importer)), target)
          .split(sep)
          .join('/')
        return {
          path: from.startsWith('.') ? from : `./${from}`,
          external: true,
          sideEffects: false,
        }
      })
    },
  }
}

/** Past the index of a folder that is not one file, so that who needs little of it does not load all of it. */
function direct({ together, copying }: BundleOptions, dist: string, group: string): Plugin {
  const stays = together === 'package' ? [] : copying?.folder === group ? copying.not : undefined
  return {
    name: 'direct',
    setup({ onLoad }) {
      onLoad({ filter: /\.js$/ }, ({ path }) => {
        if (!path.startsWith(dist + sep)) return undefined
        const text = builtinImports(readFileSync(path, 'utf8'))
        return { contents: stays ? directImports(text, path, dist, stays) : text, loader: 'js' }
      })
    },
  }
}

/** What is not ours is imported as it is, but for the packages that are taken in. */
function packages(takenIn: readonly string[]): Plugin {
  return {
    name: 'packages',
    setup({ onResolve }) {
      onResolve({ filter: /^[\w@]/ }, ({ kind, path }) =>
        kind === 'entry-point' || takenIn.includes(path)
          ? undefined
          : { path, external: true, sideEffects: !path.startsWith('weir-mesh') },
      )
    },
  }
}

/** What the licences of packages that were taken in ask for. */
function writeNotices(draft: string, { takenIn = [], folder }: BundleOptions): void {
  if (takenIn.length === 0) return
  const texts = takenIn.map((name) => {
    const home = homeOf(name, folder)
    const manifest = readFileSync(join(home, 'package.json'), 'utf8')
    const { version } = JSON.parse(manifest) as { readonly version: string }
    const file = readdirSync(home).find((each) => /^licen[cs]e/i.test(each))
    if (file === undefined) throw new Error(`${name} has no licence file to copy`)
    return `${name} ${version}\n\n${readFileSync(join(home, file), 'utf8').trim()}\n`
  })
  writeFileSync(join(draft, 'THIRD-PARTY-LICENSES.txt'), texts.join(`\n${'-'.repeat(70)}\n\n`))
}

/** The scripts of the compiler go, its declarations stay. */
function replaceScripts(dist: string, draft: string): void {
  const files = (folder: string) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((each) => each.isFile())
      .map(({ parentPath, name }) => relative(folder, join(parentPath, name)))
  for (const file of files(dist)) if (file.endsWith('.js')) rmSync(join(dist, file))
  for (const file of files(draft)) {
    mkdirSync(dirname(join(dist, file)), { recursive: true })
    renameSync(join(draft, file), join(dist, file))
  }
}

/** Not by `require`: a package need not export its manifest. */
function homeOf(name: string, folder: string): string {
  const places = createRequire(join(folder, 'package.json')).resolve.paths(name) ?? []
  const home = places.map((place) => join(place, name)).find((each) => existsSync(each))
  if (home === undefined) throw new Error(`${name} is not installed`)
  return home
}
