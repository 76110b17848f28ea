/** Objects as the rows that `kubectl get` prints. */
import { isJsonObject, type Json, type JsonObject } from '../kube/index.ts'
import { findByPath } from './json-path.ts'
import { EVENT, type Kind } from './kind.ts'

export type IncludeObject = 'None' | 'Metadata' | 'Object'

const CELL_CHARS_MAX = 1024

export function columnDefinitions(kind: Kind): JsonObject[] {
  return [
    {
      name: 'Name',
      type: 'string',
      format: 'name',
      description: 'Name must be unique within a namespace.',
      priority: 0,
    },
    ...kind.columns.map(({ name, type, format, description, priority }) => ({
      name,
      type,
      format,
      description,
      priority,
    })),
  ]
}

/** A table with these rows; `definitions` is left out after the first event of a watch. */
export function tableOf(
  rows: readonly JsonObject[],
  resourceVersion: string,
  definitions: readonly JsonObject[],
): JsonObject {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion },
    columnDefinitions: [...definitions],
    rows: [...rows],
  }
}

export function rowOf(
  kind: Kind,
  object: JsonObject,
  include: IncludeObject,
  wallMs: number,
): JsonObject {
  const metadata = isJsonObject(object['metadata']) ? object['metadata'] : {}
  const cells: Json[] = [metadata['name'] ?? '']
  for (const column of kind.columns) {
    const found = findByPath(object, column.jsonPath)
    cells.push(cellOf(found, column.type, wallMs))
  }
  if (kind === EVENT) cells[4] = involvedText(object)
  return {
    cells,
    ...(include === 'None' ? {} : { object: include === 'Object' ? object : partialOf(object) }),
  }
}

/** An object without anything but its metadata. */
export function partialOf(object: JsonObject): JsonObject {
  return {
    kind: 'PartialObjectMetadata',
    apiVersion: 'meta.k8s.io/v1',
    metadata: object['metadata'] ?? {},
  }
}

function cellOf(found: readonly Json[], type: string, wallMs: number): Json {
  const value = found[0]
  if (value === undefined || value === null) return null
  if (type === 'date') {
    const at = typeof value === 'string' ? Date.parse(value) : Number.NaN
    return Number.isNaN(at) ? '<unknown>' : humanDuration(wallMs - at)
  }
  if (type === 'integer' || type === 'number') {
    return typeof value === 'number' || typeof value === 'bigint' ? value : null
  }
  if (type === 'boolean') return typeof value === 'boolean' ? value : null
  const text = found.map((one) => (typeof one === 'object' ? JSON.stringify(one) : String(one)))
  return text.join(',').slice(0, CELL_CHARS_MAX)
}

function involvedText(object: JsonObject): string {
  const involved = isJsonObject(object['involvedObject']) ? object['involvedObject'] : {}
  return `${String(involved['kind'] ?? '').toLowerCase()}/${String(involved['name'] ?? '')}`
}

/** A span of time in the two or three figures that kubectl shows. */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < -1) return '<invalid>'
  if (seconds < 0) return '0s'
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 10) return two(minutes, 'm', seconds % 60, 's')
  if (minutes < 180) return `${minutes}m`
  const hours = Math.floor(minutes / 60)
  if (hours < 8) return two(hours, 'h', minutes % 60, 'm')
  if (hours < 48) return `${hours}h`
  const days = Math.floor(hours / 24)
  if (hours < 192) return two(days, 'd', hours % 24, 'h')
  if (days < 730) return `${days}d`
  const years = Math.floor(days / 365)
  return days < 8 * 365 ? two(years, 'y', days % 365, 'd') : `${years}y`
}

function two(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`
}
