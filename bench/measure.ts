/** What a scenario found, how it is judged, and the median of several runs. */

import type { MeshOptions } from './zones.ts'

/** Either the most or the least that meets the goal. */
export type Target = { readonly most: number } | { readonly least: number }

export interface Measure {
  readonly name: string
  readonly value: number
  readonly unit: string
  readonly target?: Target
  /** The figure of the Rust controller, as measured before; see README.md. */
  readonly reference: string
  /** Whether the worst of several runs counts, not their median: losses, for example. */
  readonly worst?: boolean
  /** What a reader has to know. */
  readonly note?: string
}

/** One row of the table and of the file of results. */
export interface Row {
  readonly name: string
  /** What counts of the runs: the median, or the worst. */
  readonly value: number
  readonly ours: string
  readonly reference: string
  readonly target: string
  /** Undefined where there is no goal. */
  readonly met: boolean | undefined
  readonly values: readonly number[]
  readonly note: string
}

export interface Context {
  /** What every mesh of the run is made with. */
  readonly mesh: MeshOptions
  /** Shorter runs, for trying out. */
  readonly quick: boolean
  /** Says how it goes, on standard error. */
  readonly say: (text: string) => void
}

export interface Scenario {
  readonly name: string
  readonly about: string
  /** Whether it has no mesh, so that it is the same for every transport. */
  readonly meshless?: boolean
  run(context: Context): Promise<Measure[]>
}

/** Joins the runs of a scenario: measures of one name become a row. */
export function toRows(runs: readonly (readonly Measure[])[]): Row[] {
  const first = runs[0] ?? []
  return first.map((measure) => {
    const values = runs.flatMap((run) =>
      run.filter(({ name }) => name === measure.name).map(({ value }) => value),
    )
    const sorted = [...values].sort((a, b) => a - b)
    const least = sorted[0]!
    const most = sorted.at(-1)!
    const higherIsBetter = measure.target !== undefined && 'least' in measure.target
    const median = sorted[(sorted.length - 1) >> 1]!
    const worst = higherIsBetter ? least : most
    const value = measure.worst ? worst : median
    const range = least === most ? '' : ` (${show(least)}-${show(most)})`
    return {
      name: measure.name,
      value,
      ours: `${show(value)} ${measure.unit}${range}`,
      reference: measure.reference,
      target: measure.target === undefined ? '-' : describe(measure.target, measure.unit),
      met: measure.target === undefined ? undefined : meets(value, measure.target),
      values,
      note: measure.note ?? '',
    }
  })
}

function meets(value: number, target: Target): boolean {
  return 'most' in target ? value <= target.most : value >= target.least
}

function describe(target: Target, unit: string): string {
  return 'most' in target ? `<= ${show(target.most)} ${unit}` : `>= ${show(target.least)} ${unit}`
}

/** Three digits are what such a measurement is worth. */
export function show(value: number): string {
  if (!Number.isFinite(value)) return 'never'
  const size = Math.abs(value)
  if (size >= 100 || Number.isInteger(value)) return String(Math.round(value))
  return size >= 10 ? value.toFixed(1) : value.toFixed(2)
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1] ?? Number.NaN
}
