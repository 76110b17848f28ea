/**
 * JSON merge patch (RFC 7396), the one function that puts foreign keys together.
 *
 * Names that could reach a prototype are rejected, so neither a patch nor an object can carry them on.
 */
import { WeirError } from 'weir-mesh/runtime'
import { isJsonObject, type Json, type JsonObject } from './json.ts'

const DEPTH_MAX = 256

/**
 * The target with the patch applied. Nothing is changed in place; untouched parts are shared.
 *
 * @throws {WeirError} `JSON_DANGEROUS_KEY` for `__proto__`, `constructor` and `prototype`, `JSON_TOO_DEEP`.
 */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  return merge(target, patch, 0)
}

function merge(target: Json | undefined, patch: Json, depth: number): Json {
  if (depth > DEPTH_MAX) {
    throw new WeirError('JSON_TOO_DEEP', `a merge patch nests deeper than ${DEPTH_MAX} levels`)
  }
  if (!isJsonObject(patch)) return patch
  const merged: JsonObject = {}
  if (isJsonObject(target)) {
    for (const key of Object.keys(target)) {
      checkKey(key)
      merged[key] = target[key] as Json
    }
  }
  for (const key of Object.keys(patch)) {
    checkKey(key)
    const value = patch[key] as Json
    if (value === null) delete merged[key]
    else merged[key] = merge(merged[key], value, depth + 1)
  }
  return merged
}

/** Rejects a key that could reach a prototype. */
export function checkKey(key: string): void {
  if (key === '__proto__' || key === 'constructor' || key === 'prototype') {
    throw new WeirError(
      'JSON_DANGEROUS_KEY',
      `the key '${key}' is not accepted in an object; rename the field`,
    )
  }
}

/**
 * Rejects an object that holds a dangerous key at any depth, or nests too deep.
 *
 * @throws {WeirError} as `mergePatch`.
 */
export function checkKeys(value: Json, depth = 0): void {
  if (depth > DEPTH_MAX) {
    throw new WeirError('JSON_TOO_DEEP', `an object nests deeper than ${DEPTH_MAX} levels`)
  }
  if (Array.isArray(value)) for (const item of value) checkKeys(item, depth + 1)
  else if (isJsonObject(value)) {
    for (const key of Object.keys(value)) {
      checkKey(key)
      checkKeys(value[key] as Json, depth + 1)
    }
  }
}

/**
 * The smallest merge patch that turns `from` into `to`; undefined when they are equal.
 *
 * A null inside `to` cannot be said by a merge patch: it reads as "remove".
 */
export function diffPatch(from: JsonObject, to: JsonObject): JsonObject | undefined {
  const patch: JsonObject = {}
  for (const key of Object.keys(from)) {
    checkKey(key)
    if (!Object.hasOwn(to, key)) patch[key] = null
  }
  for (const key of Object.keys(to)) {
    checkKey(key)
    const value = to[key] as Json
    const before = Object.hasOwn(from, key) ? (from[key] as Json) : undefined
    if (isJsonObject(value) && isJsonObject(before)) {
      const inner = diffPatch(before, value)
      if (inner) patch[key] = inner
    } else if (!sameLeaf(before, value)) patch[key] = value
  }
  return Object.keys(patch).length > 0 ? patch : undefined
}

function sameLeaf(left: Json | undefined, right: Json): boolean {
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((item, at) => sameItem(item, right[at]))
  }
  return left === right
}

function sameItem(left: Json, right: Json | undefined): boolean {
  if (isJsonObject(left) && isJsonObject(right)) {
    return Object.keys(left).length === Object.keys(right).length && !diffPatch(left, right)
  }
  return right !== undefined && sameLeaf(left, right)
}
