/**
 * What the lock file must hold, and how its gaps are filled.
 *
 * npm leaves out the packages for other platforms that the registry in use did not have when the lock was
 * written, and a later `npm ci` then fails or, on such a platform, installs nothing (npm issue 9846). A gap is
 * filled with what npm needs to decide whether the package is for this machine; it has no integrity, as
 * nobody has seen the package, so npm takes what its registry gives.
 */

/** One entry of the lock file, as far as it matters here. */
export interface LockEntry {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly link?: boolean
  readonly dev?: boolean
  readonly optional?: boolean
  readonly os?: readonly string[] | string
  readonly cpu?: readonly string[] | string
  readonly libc?: readonly string[]
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

/** The lock file, version 3. */
export interface Lock {
  readonly lockfileVersion: number
  readonly packages: Readonly<Record<string, LockEntry>>
}

const SYSTEMS: readonly string[] = Object.freeze([
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
])

const PROCESSORS: readonly string[] = Object.freeze([
  'arm',
  'arm64',
  'ia32',
  'loong64',
  'mips64el',
  'ppc64',
  'riscv64',
  's390x',
  'wasm32',
  'x64',
])

/** An optional package that the lock file names and does not hold. */
interface Gap {
  readonly name: string
  readonly version: string
  /** The entry that wants it, and its key. */
  readonly wantedBy: LockEntry
  readonly wantedAt: string
}

/** Lists the optional packages that are wanted and missing. */
export function gapsOf(lock: Lock): Gap[] {
  const gaps: Gap[] = []
  for (const [wantedAt, wantedBy] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(wantedBy.optionalDependencies ?? {})) {
      if (!placesFor(name, wantedAt).some((place) => place in lock.packages)) {
        gaps.push({ name, version, wantedBy, wantedAt })
      }
    }
  }
  return gaps
}

/** Returns the lock file with its gaps filled; the entries are in the order that npm writes. */
export function complete(lock: Lock): Lock {
  const added: Record<string, LockEntry> = {}
  for (const { name, version, wantedBy, wantedAt } of gapsOf(lock)) {
    const siblings = Object.keys(wantedBy.optionalDependencies ?? {})
    added[siblingPlace(name, wantedAt)] = {
      version,
      ...platformOf(name, siblings),
      ...(wantedBy.dev === true && { dev: true }),
      optional: true,
    }
  }
  const entries = Object.entries({ ...lock.packages, ...added })
  entries.sort(([a], [b]) => a.localeCompare(b, 'en'))
  return { ...lock, packages: Object.fromEntries(entries) }
}

/** Lists what is wrong with a lock file, in words. */
export function problemsOf(lock: Lock): string[] {
  const problems = gapsOf(lock).map(
    ({ name, version }) => `${name}@${version} is missing: run "npm run lock"`,
  )
  if (lock.lockfileVersion !== 3) problems.push(`lockfileVersion is ${lock.lockfileVersion}, not 3`)
  for (const [place, entry] of Object.entries(lock.packages)) {
    if (entry.resolved?.includes(':') === true) {
      problems.push(`${place} names the host it came from: ${entry.resolved}`)
    }
    const installed = place.includes('node_modules/') && entry.link !== true
    const unseen = entry.optional === true && (entry.os ?? entry.cpu) !== undefined
    if (installed && !unseen && entry.integrity === undefined) {
      problems.push(`${place} has no integrity`)
    }
  }
  return problems
}

/** The places where Node looks for a package that an entry asks for, the nearest first. */
function placesFor(name: string, wantedAt: string): string[] {
  const places = []
  for (let at = wantedAt; ; at = at.slice(0, Math.max(0, at.lastIndexOf('node_modules/') - 1))) {
    places.push(at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`)
    if (at === '') return places
  }
}

/** The place beside the entry that asks, which is where npm puts a platform package. */
function siblingPlace(name: string, wantedAt: string): string {
  const end = wantedAt.lastIndexOf('node_modules/')
  return `${wantedAt.slice(0, Math.max(0, end))}node_modules/${name}`
}

/** Reads the platform from the name of a package. */
function platformOf(
  name: string,
  siblings: readonly string[],
): Pick<LockEntry, 'os' | 'cpu' | 'libc'> {
  const words = name.split(/[/-]/)
  const system = words.find((word) => SYSTEMS.includes(word))
  const processor = words.find((word) => PROCESSORS.includes(word))
  if (processor === undefined || (system === undefined && processor !== 'wasm32')) {
    throw new Error(`The platform of ${name} cannot be read from its name: teach tools/lock.ts.`)
  }
  const musl = words.some((word) => word.startsWith('musl'))
  const glibc = words.some((word) => word.startsWith('gnu')) || siblings.includes(`${name}-musl`)
  return {
    cpu: [processor],
    ...(system === 'linux' && (musl || glibc) && { libc: [musl ? 'musl' : 'glibc'] }),
    ...(system !== undefined && { os: [system] }),
  }
}
