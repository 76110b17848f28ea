/**
 * One line per event, as JSON or for a terminal. Fields come from us or are cut to a length: a peer cannot make a
 * line grow.
 */
import { writeSync } from 'node:fs'
import { inspect } from 'node:util'
import { describeError } from './errors.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogValue = string | number | boolean | bigint | undefined | null
export interface LogFields {
  readonly [name: string]: LogValue | Error | unknown
}

export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A logger that adds these fields to each line. */
  with(fields: LogFields): Logger
}

const RANK = Object.freeze({ debug: 0, info: 1, warn: 2, error: 3 })
/** A message or a value is cut to this length. */
const TEXT_CHARS_MAX = 512

export interface LogOptions {
  /** The least level that is written. Default `info`. */
  readonly level?: LogLevel
  /** `json` for machines (default), `text` for a terminal. */
  readonly format?: 'json' | 'text'
  /** Where lines go. Default standard error. */
  readonly write?: (line: string) => void
  readonly wallMs?: () => number
}

/** A logger with the project's line format; it writes synchronously, so that the last line before an exit is not lost. */
export function createLogger(options: LogOptions = {}): Logger {
  const least = RANK[options.level ?? 'info']
  const write = options.write ?? writeStandardError
  const wallMs = options.wallMs ?? Date.now
  const format = options.format === 'text' ? formatText : formatJson
  const build = (base: LogFields): Logger => {
    const emit = (level: LogLevel) => (message: string, fields?: LogFields) => {
      if (RANK[level] < least) return
      write(format(level, new Date(wallMs()).toISOString(), message, { ...base, ...fields }))
    }
    return {
      debug: emit('debug'),
      info: emit('info'),
      warn: emit('warn'),
      error: emit('error'),
      with: (fields) => build({ ...base, ...fields }),
    }
  }
  return build({})
}

/** Writes nothing: the default of a library. */
export const silentLogger: Logger = Object.freeze({
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLogger,
})

function writeStandardError(line: string): void {
  try {
    writeSync(2, `${line}\n`)
  } catch {
    // A closed or full pipe must not take the program down; there is nowhere left to say so.
  }
}

function formatJson(level: LogLevel, time: string, message: string, fields: LogFields): string {
  const line: { [name: string]: LogValue } = { time, level, message: cut(message) }
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined && name !== 'time' && name !== 'level' && name !== 'message')
      line[name] = plain(value)
  }
  return JSON.stringify(line)
}

function formatText(level: LogLevel, time: string, message: string, fields: LogFields): string {
  let line = `${time.slice(11, 23)} ${level.padEnd(5)} ${cut(message)}`
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) line += ` ${name}=${plain(value)}`
  }
  return line.replaceAll(CONTROL, ' ')
}

/** Line ends, escape sequences and marks of direction: a peer's text must neither start a line nor steer a terminal. */
const CONTROL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

function plain(value: unknown): LogValue {
  if (typeof value === 'boolean' || value === null) return value
  // JSON has no NaN and no infinities.
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value === 'bigint' || typeof value === 'symbol') return cut(String(value))
  if (typeof value === 'string') return cut(value)
  return cut(value instanceof Error ? describeError(value) : inspect(value, INSPECT))
}

/** Bounded, whatever the object is; `String` would write out a whole array and throws for some objects. */
const INSPECT = Object.freeze({
  depth: 1,
  maxArrayLength: 8,
  maxStringLength: TEXT_CHARS_MAX,
  breakLength: Number.POSITIVE_INFINITY,
})

function cut(text: string): string {
  return text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)}…` : text
}
