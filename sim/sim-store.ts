/**
 * A log store as plain as can be, for the simulator: it answers at once, and its rules are written down again here
 * rather than taken from the stores of the library.
 */
import type { Appended, LogName, LogState, StoredOperation } from 'weir-mesh/store'

interface SimLog extends LogName {
  readonly operations: Map<number, StoredOperation>
  height: number
  head: string
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
export const logName = (log: LogName): string => hex(log.author) + hex(log.logId)

export class SimStore {
  readonly #logs = new Map<string, SimLog>()

  append(operation: StoredOperation): Appended {
    const name = logName(operation)
    const log = this.#logs.get(name)
    const answer = this.#judge(log, operation)
    if (answer !== 'kept') return answer
    const kept = log ?? {
      author: operation.author.slice() as typeof operation.author,
      logId: operation.logId.slice() as typeof operation.logId,
      operations: new Map(),
      height: -1,
      head: '',
    }
    if (operation.prune) kept.operations.clear()
    kept.operations.set(operation.seq, operation)
    kept.height = operation.seq
    kept.head = hex(operation.id)
    this.#logs.set(name, kept)
    return 'kept'
  }

  #judge(log: SimLog | undefined, operation: StoredOperation): Appended {
    const { seq, prune } = operation
    if (!log) return seq === 0 || prune ? 'kept' : 'gap'
    if (seq > log.height) {
      if (prune) return 'kept'
      if (seq > log.height + 1) return 'gap'
      return operation.backlink && hex(operation.backlink) === log.head ? 'kept' : 'fork'
    }
    const there = log.operations.get(seq)
    return there && hex(there.id) !== hex(operation.id) ? 'fork' : 'duplicate'
  }

  logs(): LogState[] {
    const logs = [...this.#logs.values()].sort((a, b) => (logName(a) < logName(b) ? -1 : 1))
    return logs.map((log) => ({
      author: log.author,
      logId: log.logId,
      height: log.height,
      head: Buffer.from(log.head, 'hex') as unknown as LogState['head'],
      from: Math.min(...log.operations.keys(), log.height + 1),
      operations: log.operations.size,
      bytes: 0,
    }))
  }

  height(name: string): number {
    return this.#logs.get(name)?.height ?? -1
  }

  read(name: LogName, from: number, until: number, bytesMax: number) {
    const log = this.#logs.get(logName(name))
    const found: StoredOperation[] = []
    let bytes = 0
    for (let seq = from; log && seq <= Math.min(until, log.height); seq++) {
      const operation = log.operations.get(seq)
      if (!operation) continue
      bytes += operation.header.length + (operation.body?.length ?? 0)
      if (found.length > 0 && bytes > bytesMax) return { operations: found, last: false }
      found.push(operation)
    }
    return { operations: found, last: true }
  }

  measure(name: LogName, from: number, until: number) {
    const { operations } = this.read(name, from, until, Number.POSITIVE_INFINITY)
    const bytes = operations.reduce(
      (sum, each) => sum + each.header.length + (each.body?.length ?? 0),
      0,
    )
    return { operations: operations.length, bytes }
  }
}
