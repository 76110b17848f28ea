/**
 * The part of JSONPath that printer columns use: `.spec.size`, `['a.b']`, `[0]`, `[*]` and `[?(@.type=="Ready")]`.
 *
 * Paths come from definitions: their length and the number of values they find are capped.
 */
import { isJsonObject, type Json } from '../kube/index.ts'

const VALUES_MAX = 100
const STEP =
  /\.((?:\\.|[A-Za-z0-9_\-$/])+)|\['([^']*)'\]|\[(-?\d+)\]|\[(\*)\]|\[\?\(@\.([A-Za-z0-9_.-]+)\s*==\s*["']([^"']*)["']\)\]/y

/** All values that a path finds, in order. A path that cannot be read finds nothing. */
export function findByPath(root: Json, path: string): Json[] {
  const text = path.startsWith('{') && path.endsWith('}') ? path.slice(1, -1) : path
  let values: Json[] = [root]
  let at = 0
  while (at < text.length && values.length > 0) {
    STEP.lastIndex = at
    const match = STEP.exec(text)
    if (!match) return []
    at += match[0].length
    const [, key, quoted, index, all, filterPath, filterValue] = match
    const next: Json[] = []
    for (const value of values) {
      if (all !== undefined) next.push(...childrenOf(value))
      else if (index !== undefined)
        pushDefined(next, Array.isArray(value) ? value.at(Number(index)) : undefined)
      else if (filterPath !== undefined) {
        for (const item of Array.isArray(value) ? value : []) {
          const found = findByPath(item, `.${filterPath}`)[0]
          if (found !== undefined && String(found) === filterValue) next.push(item)
        }
      } else {
        const name = key?.replaceAll('\\', '') ?? quoted ?? ''
        pushDefined(
          next,
          isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined,
        )
      }
      if (next.length > VALUES_MAX) next.length = VALUES_MAX
    }
    values = next
  }
  return values
}

function childrenOf(value: Json): Json[] {
  if (Array.isArray(value)) return value
  return isJsonObject(value) ? Object.values(value) : []
}

function pushDefined(values: Json[], value: Json | undefined): void {
  if (value !== undefined) values.push(value)
}
