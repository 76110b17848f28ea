/** Which reports are written to the log wherever sync is used: those that somebody has to act on. */
import { shortId } from '../core/index.ts'
import type { Logger } from '../runtime/index.ts'
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
    default:
      return
  }
}

const described = (report: SyncReport & { readonly type: 'fork' | 'key-shared' }) => ({
  kind: report.type,
  log: shortId(report.logId),
  seq: report.seq,
  from: report.peer ? shortId(report.peer) : 'here',
})
