/**
 * The policy `lru-log`: the log that was used least recently loses its payloads first, oldest first, then its
 * operations from the start. What is left of a log is at least its frontier. A pinned log loses nothing, and what
 * could never fit evicts nothing.
 */
import type { Exit } from '../bounds/index.ts'
import type { LogRecord } from './log-record.ts'
import type { StoredOperation } from './log-store.ts'
import { evictLog, type LogTable } from './log-table.ts'
import type { MemoryStoreTerms } from './memory.ts'
import type { Segments } from './segments.ts'

type OpenLog = LogRecord & { readonly segments: Segments }

/** Makes room for one operation of a log by evicting from other logs, or from the log itself at its own cap. */
export function makeRoom(
  table: LogTable,
  terms: MemoryStoreTerms,
  log: OpenLog,
  operation: StoredOperation,
): void {
  const limit = evictableLimit(table, terms)
  if (limit.operations < 1 || log.segments.needs(operation) > limit.bytes) return
  if (log.segments.needs(operation) > terms.log.payloadBytesMax) return
  while (true) {
    const { account } = log.segments
    const wanted = log.segments.wants(operation)
    const bytes = wanted <= limit.bytes ? wanted : log.segments.needs(operation)
    const tooMany = account.entries >= terms.log.entriesMax
    if (tooMany || account.freeBytes < Math.min(bytes, terms.log.payloadBytesMax)) {
      if (log.pinned || log.segments.operations === 0) return
      dropOne(log, tooMany, 'evicted')
      continue
    }
    const allTooMany = table.totals.operations.entries >= terms.operations.entriesMax
    if (!allTooMany && table.totals.bytes + bytes <= terms.bytes.payloadBytesMax) return
    const victim = table.leastRecent(log) ?? (log.pinned ? undefined : log)
    if (!victim || victim.segments.operations === 0) return
    dropOne(victim, allTooMany, 'evicted')
    if (victim !== log) table.settle(victim)
  }
}

/** Makes room for an operation that takes the place of all that its log has. */
export function makeRoomToReplace(
  table: LogTable,
  terms: MemoryStoreTerms,
  log: OpenLog,
  operation: StoredOperation,
): void {
  const more = log.segments.replaceNeeds(operation)
  const own = log.pinned ? 0 : log.segments.account.bytes
  if (more <= 0 || more > evictableLimit(table, terms).bytes - own) return
  if (log.segments.account.freeBytes < more) return
  while (table.totals.bytes + more > terms.bytes.payloadBytesMax) {
    const victim = table.leastRecent(log)
    if (!victim) return
    dropOne(victim, false, 'evicted')
    table.settle(victim)
  }
}

/** Makes room for one more log. */
export function makeRoomForLog(table: LogTable, terms: MemoryStoreTerms): void {
  if (table.logs < terms.logs.entriesMax) return
  const victim = table.leastRecent()
  if (victim) evictLog(table, victim, 'evicted')
}

/** Evicts until at most `bytes` are charged or nothing is left to evict. @returns how many operations went. */
export function shedTo(table: LogTable, bytes: number): number {
  let dropped = 0
  while (table.totals.bytes > bytes) {
    const victim = table.leastRecent()
    if (!victim) break
    dropped += dropOne(victim, false, 'shed')
    table.settle(victim)
  }
  return dropped
}

/** The smallest step: the payloads of a segment, or one operation when they are counted, or a segment. */
function dropOne(log: OpenLog, counted: boolean, why: Exit): number {
  const { segments } = log
  if (counted) return segments.dropBefore(segments.from! + 1, why)
  return segments.stripOldestSegment() ? 0 : segments.dropOldestSegment(why)
}

/** What would be free with everything evicted that may be. */
function evictableLimit(table: LogTable, terms: MemoryStoreTerms) {
  let bytes = terms.bytes.payloadBytesMax
  let operations = terms.operations.entriesMax
  for (const { segments } of table.pinned()) {
    bytes -= segments?.account.bytes ?? 0
    operations -= segments?.operations ?? 0
  }
  return { bytes, operations }
}
