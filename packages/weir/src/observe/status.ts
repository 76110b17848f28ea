/**
 * The status of a program as JSON: plan, ledger, pressure, parts, counters, and what others pass in as functions.
 *
 * A section that throws or does not fit is replaced by a line that says so; the others are shown.
 *
 * Memory: one text of at most `bytesMax`, while it is asked for.
 */
import type { Ledger } from '../bounds/index.ts'
import { type Counters, describeError } from '../runtime/index.ts'
import type { Health } from './health.ts'

/** What a section returns is written as JSON at once; it must be bounded by whoever makes it. */
export type Section = () => unknown

export interface StatusOptions {
  readonly ledger: Ledger
  readonly counters: Counters
  readonly health: Health
  /** By name: `peers`, `topics`, `resources`. */
  readonly sections?: Readonly<Record<string, Section>>
}

export function statusText(options: StatusOptions, bytesMax: number): string {
  const { ledger, counters, health } = options
  const sections: Readonly<Record<string, Section>> = {
    ready: () => health.ready,
    problems: () => health.problems(),
    plan: () => planSection(ledger),
    pressure: () => ({ level: ledger.pressure.level, causes: ledger.pressure.causes }),
    ledger: () => ledgerSection(ledger),
    counters: () => Object.fromEntries([...counters].map(({ name, value }) => [name, value])),
    ...options.sections,
  }
  // The closing bracket, and the line for a section that does not fit, always find room.
  let left = bytesMax - 64 - 96 * Object.keys(sections).length
  const parts = Object.entries(sections).map(([name, section]) => {
    const text = sectionText(section, left)
    left -= text.length
    return `${JSON.stringify(name)}:${text}`
  })
  return `{${parts.join(',\n')}}\n`
}

function sectionText(section: Section, bytesMax: number): string {
  try {
    const text = JSON.stringify(section(), plain) ?? 'null'
    if (text.length <= bytesMax) return text
    return JSON.stringify({ error: 'left out: the answer would be too long' })
  } catch (error) {
    return JSON.stringify({ error: describeError(error).slice(0, 64) })
  }
}

/** JSON has no big numbers, and bytes are shown as hex. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  return value
}

function planSection({ plan }: Ledger) {
  const { accountBytes, floorBytes, garbageBytes, totalBytes, limitBytes, v8Flags } = plan
  return { accountBytes, floorBytes, garbageBytes, totalBytes, limitBytes, v8Flags }
}

function ledgerSection(ledger: Ledger) {
  return {
    costBytes: ledger.costBytes,
    peakCostBytes: ledger.peakCostBytes,
    terms: [...ledger.rows()].map(({ term, ...row }) => ({
      term: term.name,
      why: term.why,
      arena: term.arena,
      entriesMax: term.entriesMax * term.instancesMax,
      ...row,
    })),
  }
}
