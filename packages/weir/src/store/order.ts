/**
 * What an operation is to a log, before room is looked at. Both stores ask here, so that they agree.
 *
 * A log only grows: at or below the height nothing is kept again, whatever was pruned or evicted since. A prune flag
 * above the height needs no predecessor (as upstream's ingest); at or below it does nothing, where upstream would
 * roll the log back.
 */
import type { Appended, StoredOperation } from './log-store.ts'

/** What the judgement asks of a log. */
export interface Position {
  /** Highest sequence number ever kept. */
  readonly height: number
  /** Whether this is the id of the operation at `height`. */
  isHead(id: Uint8Array): boolean
  /** Whether the operation at a sequence number below the height has this id; undefined when it is gone. */
  hasAt(seq: number, id: Uint8Array): boolean | undefined
}

export function judge(
  log: Position | undefined,
  operation: StoredOperation,
): Exclude<Appended, 'full'> {
  const { seq, prune, backlink, id } = operation
  if (!log) return seq === 0 || prune ? 'kept' : 'gap'
  if (seq > log.height) {
    if (prune) return 'kept'
    if (seq > log.height + 1) return 'gap'
    return backlink && log.isHead(backlink) ? 'kept' : 'fork'
  }
  const same = seq === log.height ? log.isHead(id) : log.hasAt(seq, id)
  return same === false ? 'fork' : 'duplicate'
}

/** Bytes of header and body: what a page, a cap of a reader and `measure` count. */
export function payloadBytes(operation: StoredOperation): number {
  return operation.header.length + (operation.body?.length ?? 0)
}
