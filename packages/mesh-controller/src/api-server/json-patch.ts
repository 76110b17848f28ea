/** JSON Patch (RFC 6902), on data that others sent: own keys only, and a cap on operations. */
import {
  checkKeys,
  cloneJson,
  equalJson,
  isJsonObject,
  type Json,
  type JsonObject,
} from '../kube/index.ts'
import { ApiError, badRequest } from './status.ts'

const OPERATIONS_MAX = 10_000

/** @throws {ApiError} 422 when an operation cannot be done, 400 when the patch is none. */
export function applyJsonPatch(target: JsonObject, patch: Json): Json {
  if (!Array.isArray(patch)) throw badRequest('a JSON patch is a list of operations')
  if (patch.length > OPERATIONS_MAX) {
    throw new ApiError(
      413,
      'RequestEntityTooLarge',
      `The allowed maximum operations in a JSON patch is ${OPERATIONS_MAX}, got ${patch.length}`,
    )
  }
  let document: Json = cloneJson(target)
  for (const operation of patch) document = applyOperation(document, operation)
  checkKeys(document)
  return document
}

function applyOperation(document: Json, operation: Json): Json {
  if (!isJsonObject(operation)) throw refused()
  const path = pointer(operation['path'])
  const value = operation['value']
  switch (operation['op']) {
    case 'add':
      return put(document, path, required(value), true)
    case 'replace':
      find(document, path)
      return put(document, path, required(value), false)
    case 'remove':
      return take(document, path)
    case 'test':
      if (equalJson(find(document, path), value)) return document
      throw refused()
    case 'copy':
      return put(document, path, cloneJson(find(document, pointer(operation['from']))), true)
    case 'move': {
      const from = pointer(operation['from'])
      const moved = find(document, from)
      return put(take(document, from), path, moved, true)
    }
    default:
      throw refused()
  }
}

function pointer(text: Json | undefined): string[] {
  if (text === '') return []
  if (typeof text !== 'string' || !text.startsWith('/')) throw refused()
  return text
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function find(document: Json, path: readonly string[]): Json {
  let value: Json = document
  for (const key of path) {
    const next: Json | undefined = Array.isArray(value)
      ? value[place(value, key, false)]
      : isJsonObject(value) && Object.hasOwn(value, key)
        ? value[key]
        : undefined
    if (next === undefined) throw refused()
    value = next
  }
  return value
}

function put(document: Json, path: readonly string[], value: Json, insert: boolean): Json {
  const key = path.at(-1)
  if (key === undefined) return value
  const parent = find(document, path.slice(0, -1))
  if (Array.isArray(parent)) {
    const at = place(parent, key, insert)
    if (insert) parent.splice(at, 0, value)
    else parent[at] = value
  } else if (isJsonObject(parent)) {
    if (key === '__proto__') throw refused()
    parent[key] = value
  } else throw refused()
  return document
}

function take(document: Json, path: readonly string[]): Json {
  find(document, path)
  const key = path.at(-1)
  if (key === undefined) throw refused()
  const parent = find(document, path.slice(0, -1))
  if (Array.isArray(parent)) parent.splice(place(parent, key, false), 1)
  else if (isJsonObject(parent)) delete parent[key]
  return document
}

function place(list: readonly Json[], key: string, insert: boolean): number {
  if (key === '-' && insert) return list.length
  if (!/^(0|[1-9]\d{0,8})$/.test(key)) throw refused()
  const at = Number(key)
  if (at > list.length || (!insert && at === list.length)) throw refused()
  return at
}

function required(value: Json | undefined): Json {
  if (value === undefined) throw refused()
  return value
}

function refused(): ApiError {
  return new ApiError(
    422,
    'Invalid',
    'the server rejected our request due to an error in our request',
    {},
  )
}
