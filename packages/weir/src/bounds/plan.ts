/**
 * The plan: what may be held at worst, computed from the terms before anything starts.
 *
 * bytes of a term = instancesMax x (table + entriesMax x shell + payload), payload counted by the pool when there is one.
 */
import { assert, WeirError } from '../runtime/index.ts'
import { tableBytes } from './costs.ts'
import type { Term } from './term.ts'

export interface PlanRow {
  readonly term: Term
  readonly bytes: number
}

export interface Plan {
  readonly rows: readonly PlanRow[]
  /** Sum of the rows: what accounts can hold. */
  readonly accountBytes: number
  /** Runtime and code of this program, measured by `npm run costs`; 0 in a library. */
  readonly floorBytes: number
  /** Dead and not yet collected: three semi-spaces, half of the heap rows, an eighth of the buffer rows. */
  readonly garbageBytes: number
  readonly totalBytes: number
  readonly limitBytes: number
  /** What the launcher gives to Node; empty in a library, which owns no flags. */
  readonly v8Flags: readonly string[]
}

export interface PlanOptions {
  /** The operator's number, in bytes. */
  readonly limitBytes: number
  /** Resident bytes of the program before it holds anything. Default 0: a library plans its accounts only. */
  readonly floorBytes?: number
  /** Share of the floor that is V8 heap; it goes into the old space flag. Default 0.35. */
  readonly floorHeapShare?: number
  /** Size of one semi-space, in MiB. Default 1 below 128 MiB, else 4. */
  readonly semiSpaceMiB?: number
}

const MIB = 1024 * 1024

/**
 * Sums the terms and holds the sum against the limit.
 *
 * @throws {WeirError} `PLAN_TOO_LARGE` with the three largest rows and the missing bytes.
 */
export function planMemory(terms: Iterable<Term>, options: PlanOptions): Plan {
  assert(options.limitBytes > 0, `the memory limit is ${options.limitBytes}`)
  const rows = collect(terms)
  const sum = (arena?: Term['arena']) =>
    rows.reduce((total, row) => total + (!arena || row.term.arena === arena ? row.bytes : 0), 0)
  const floorBytes = options.floorBytes ?? 0
  const program = floorBytes > 0
  const semiSpaceMiB = options.semiSpaceMiB ?? (options.limitBytes < 128 * MIB ? 1 : 4)
  const heapBytes = sum('heap')
  const garbageBytes = program
    ? 3 * semiSpaceMiB * MIB + Math.ceil(heapBytes / 2) + Math.ceil(sum('buffers') / 8)
    : 0
  const accountBytes = sum()
  const totalBytes = floorBytes + accountBytes + garbageBytes
  if (totalBytes > options.limitBytes) {
    throw tooLarge(rows, totalBytes, options.limitBytes, floorBytes)
  }
  const heapShare = floorBytes * (options.floorHeapShare ?? 0.35)
  // What the plan leaves over is lent to the collector: a larger old space costs fewer collections.
  const spareBytes = options.limitBytes - totalBytes
  const oldSpaceBytes = heapShare + heapBytes * 1.5 + spareBytes / 2
  return Object.freeze({
    rows: Object.freeze(rows),
    accountBytes,
    floorBytes,
    garbageBytes,
    totalBytes,
    limitBytes: options.limitBytes,
    v8Flags: program
      ? Object.freeze([
          `--max-old-space-size=${Math.max(Math.ceil(oldSpaceBytes / MIB), 16)}`,
          `--max-semi-space-size=${semiSpaceMiB}`,
        ])
      : Object.freeze([]),
  })
}

/** The most that the accounts of one term can hold. */
export function termBytes(term: Term): number {
  const payload = term.pool ? 0 : term.payloadBytesMax
  const entries = term.entriesMax * term.shellBytes
  return term.instancesMax * (tableBytes(term.entriesMax, term.table) + entries + payload)
}

function collect(terms: Iterable<Term>): PlanRow[] {
  const rows: PlanRow[] = []
  const names = new Set<string>()
  const add = (term: Term) => {
    if (names.has(term.name)) {
      if (rows.some((row) => row.term === term)) return
      throw new WeirError('PLAN_INVALID', `two different terms are called '${term.name}'`)
    }
    names.add(term.name)
    rows.push({ term, bytes: termBytes(term) })
    if (term.pool) add(term.pool)
  }
  for (const term of terms) add(term)
  return rows
}

function tooLarge(rows: PlanRow[], total: number, limit: number, floor: number): WeirError {
  const largest = [...rows].sort((a, b) => b.bytes - a.bytes).slice(0, 3)
  const named = largest.map((row) => `${row.term.name} ${formatBytes(row.bytes)}`).join(', ')
  const floorText = floor > 0 ? `, the program itself ${formatBytes(floor)}` : ''
  return new WeirError(
    'PLAN_TOO_LARGE',
    `the memory plan needs ${formatBytes(total)} but the limit is ${formatBytes(limit)} (largest: ${named}${floorText}); raise the limit or lower the caps of these terms`,
    { limit: { scope: 'plan', limit, used: 0, wanted: total } },
  )
}

/** `12.3 MiB`, `4.0 KiB` or `17 B`. */
export function formatBytes(bytes: number): string {
  if (bytes >= MIB) return `${(bytes / MIB).toFixed(1)} MiB`
  if (bytes >= 1024) return `${(bytes / 1024).toFixed(1)} KiB`
  return `${bytes} B`
}

/**
 * The table that a program prints before it starts.
 *
 * @param options `rowsMax`: the largest rows that are shown; the others are summed in one line. Default: all.
 */
export function formatPlan(plan: Plan, options: { readonly rowsMax?: number } = {}): string {
  const rows = plan.rows.filter((row) => row.bytes > 0).sort((a, b) => b.bytes - a.bytes)
  // One line for a single row more would save nothing.
  const shown = rows.length - 1 > (options.rowsMax ?? Infinity) ? options.rowsMax! : rows.length
  const lines: [string, string, string][] = rows
    .slice(0, shown)
    .map((row) => [row.term.name, formatBytes(row.bytes), row.term.why])
  if (shown < rows.length) {
    const bytes = rows.slice(shown).reduce((sum, row) => sum + row.bytes, 0)
    lines.push([`${rows.length - shown} more`, formatBytes(bytes), 'smaller ones, together'])
  }
  const sums: [string, string, string][] = [
    ['accounts', formatBytes(plan.accountBytes), 'all of the above, at their caps'],
  ]
  if (plan.floorBytes > 0) {
    sums.push(['program', formatBytes(plan.floorBytes), 'runtime and code, measured'])
    sums.push(['garbage', formatBytes(plan.garbageBytes), 'dead and not yet collected'])
  }
  sums.push(['total', formatBytes(plan.totalBytes), `of ${formatBytes(plan.limitBytes)}`])
  const all = [...lines, ...sums]
  const width = Math.max(...all.map((line) => line[0].length))
  const size = Math.max(...all.map((line) => line[1].length))
  const text = ([name, bytes, why]: readonly [string, string, string]) =>
    `  ${name.padEnd(width)}  ${bytes.padStart(size)}  ${why}`
  return [...lines.map(text), `  ${'-'.repeat(width + size + 2)}`, ...sums.map(text)].join('\n')
}
