/** Rows of a run as a table: a column for each transport beside the figures of the reference and the goals. */
import type { Row } from './measure.ts'

/** The rows of one transport, by what they measure. */
export interface Column {
  readonly title: string
  readonly rows: readonly Row[]
}

/** The table in Markdown, which a terminal can show too. With two columns there is one more with their ratio. */
export function formatTable(columns: readonly Column[]): string {
  const names = [...new Set(columns.flatMap(({ rows }) => rows.map(({ name }) => name)))]
  const both = columns.length === 2
  const ratio = both ? [`${columns[1]!.title} / ${columns[0]!.title}`] : []
  const head = [
    'What',
    ...columns.flatMap(({ title }) => [`Weir, ${title}`, 'Met']),
    ...ratio,
    'Reference',
    'Goal',
    'Note',
  ]
  const lines = names.map((name) => {
    const rows = columns.map((column) => column.rows.find((row) => row.name === name))
    const any = rows.find((row) => row !== undefined)!
    return [
      name,
      ...rows.flatMap((row) => (row ? [row.ours, metText(row)] : ['-', '-'])),
      ...(both ? [ratioText(rows[0], rows[1])] : []),
      any.reference === '' ? '-' : any.reference,
      any.target,
      noteText(columns, rows),
    ]
  })
  return layout([head, ...lines])
}

const metText = ({ met }: Row): string => (met === undefined ? '-' : met ? 'yes' : '**no**')

function ratioText(first: Row | undefined, second: Row | undefined): string {
  if (!first || !second) return '-'
  const ratio = second.value / first.value
  return Number.isFinite(ratio) ? ratio.toFixed(2) : '-'
}

function noteText(columns: readonly Column[], rows: readonly (Row | undefined)[]): string {
  const notes = rows.map((row) => row?.note ?? '')
  const said = notes.filter((note) => note !== '')
  if (said.length < 2) return said[0] ?? ''
  return notes.map((note, at) => `${columns[at]!.title}: ${note}`).join('; ')
}

function layout(cells: readonly (readonly string[])[]): string {
  const head = cells[0]!
  const widths = head.map((_, at) => Math.max(...cells.map((row) => row[at]!.length)))
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, at) => cell.padEnd(widths[at]!)).join(' | ')} |`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  return [line(head), rule, ...cells.slice(1).map(line)].join('\n')
}
