/** Which reports are written to the log wherever sync is used: those that somebody has to act on. */
import { shortId } from '../core/index.ts'
import { describeError, type Logger, WeirError } from '../runtime/index.ts'
import type { SyncReport } from './contract.ts'

export function logReport(log: Logger, report: SyncReport): void {
  switch (report.type) {
    case 'fork':
    case 'key-shared':
      return log.error('two histories of one log', { ...described(report) })
    case 'store-failed':
      return log.error('the store of a topic does not answer', { error: report.message })
    case 'store-works':
      return log.info('the store of a topic answers again')
    case 'too-long':
      return report.again ? undefined : log.error(TOO_LONG[report.for], { ...tooLong(report) })
    default:
      return
  }
}

const TOO_LONG = Object.freeze({
  peers: 'an operation of the store cannot be sent, nor what follows in its log',
  consumer: 'an operation of the store cannot be delivered and is left out',
})

const tooLong = (report: SyncReport & { readonly type: 'too-long' }) => ({
  log: shortId(report.logId),
  author: shortId(report.author),
  seq: report.seq,
  bytes: report.bytes,
  error: describeError(
    new WeirError(
      'OPERATION_TOO_LARGE',
      'the operation was kept under a larger plan; give the node as much memory as then, or prune the log',
    ),
  ),
})

const described = (report: SyncReport & { readonly type: 'fork' | 'key-shared' }) => ({
  kind: report.type,
  log: shortId(report.logId),
  seq: report.seq,
  from: report.peer ? shortId(report.peer) : 'here',
})
