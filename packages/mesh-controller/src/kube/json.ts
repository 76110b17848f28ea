/**
 * JSON as Kubernetes needs it: an integer above 2^53 passes unchanged, and a foreign key never reaches a prototype.
 *
 * Integers that a double cannot hold become `bigint`, as far as a 64-bit integer goes; all other numbers are numbers,
 * as in a real API server. `JSON.parse` defines every key as an own property, `__proto__` too; whoever copies keys
 * uses `setOwn`, because an assignment would reach the prototype.
 */
import { WeirError } from 'weir-mesh/runtime'

export type Json = null | boolean | number | bigint | string | Json[] | JsonObject
export interface JsonObject {
  [name: string]: Json
}

// Sixteen digits in a row are what an unsafe integer needs at least. Most texts have none, and the reviver is slow.
const LONG_DIGITS = /\d{16}/
const INTEGER = /^-?\d{16,20}$/
const INT64_MIN = -(2n ** 63n)
const UINT64_MAX = 2n ** 64n - 1n

// These two are not in the library types yet: the source text of a value, and a value that is written as it is.
type Reviver = (this: unknown, key: string, value: unknown, context: { source?: string }) => unknown
const parseWithSource = JSON.parse as (text: string, reviver: Reviver) => unknown
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON

/** Reads JSON. @throws {WeirError} `JSON_INVALID` with what is wrong, without the text. */
export function parseJson(text: string): Json {
  try {
    if (!LONG_DIGITS.test(text)) return JSON.parse(text) as Json
    return parseWithSource(text, reviveInteger) as Json
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new WeirError('JSON_INVALID', `this is not JSON: ${error.message.slice(0, 120)}`)
  }
}

function reviveInteger(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  const source = context.source
  if (source === undefined || !INTEGER.test(source)) return value
  const exact = BigInt(source)
  return exact >= INT64_MIN && exact <= UINT64_MAX ? exact : value
}

/** Writes JSON, a `bigint` as its digits. */
export function stringifyJson(value: unknown): string {
  try {
    return JSON.stringify(value)
  } catch (error) {
    // `JSON.stringify` throws a TypeError for a bigint; the replacer costs too much to be used for every text.
    if (!(error instanceof TypeError)) throw error
    return JSON.stringify(value, replaceInteger)
  }
}

function replaceInteger(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? rawJson(value.toString()) : value
}

/** Whether a value is a JSON object, and not null or a list. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Sets a key that came from outside as an own property, whatever its name is. */
export function setOwn(object: JsonObject, key: string, value: Json): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    })
  } else object[key] = value
}

/** Reads an own key; a name that only the prototype has is absent. */
export function getOwn(object: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

/** A deep copy; foreign keys stay own keys. */
export function cloneJson<T extends Json>(value: T): T {
  return cloneValue(value) as T
}

function cloneValue(value: Json): Json {
  if (Array.isArray(value)) return value.map(cloneValue)
  if (!isJsonObject(value)) return value
  const copy: JsonObject = {}
  for (const key of Object.keys(value)) setOwn(copy, key, cloneValue(value[key] as Json))
  return copy
}

/** Whether two values are the same JSON; the order of keys does not matter. */
export function equalJson(left: Json | undefined, right: Json | undefined): boolean {
  if (left === right) return true
  if (Array.isArray(left)) {
    if (!Array.isArray(right) || left.length !== right.length) return false
    return left.every((item, index) => equalJson(item, right[index]))
  }
  if (!isJsonObject(left) || !isJsonObject(right)) return false
  const keys = Object.keys(left)
  if (keys.length !== Object.keys(right).length) return false
  return keys.every((key) => Object.hasOwn(right, key) && equalJson(left[key], right[key]))
}
