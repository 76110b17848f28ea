/** What a publisher is told when its operation was not kept. */
import { WeirError } from '../runtime/index.ts'
import type { Published } from './contract.ts'

export function publishError(result: Exclude<Published, 'kept' | 'duplicate'>): WeirError {
  switch (result) {
    case 'full':
      return new WeirError('STORE_FULL', 'the store has no room; prune the log or wait', {
        retryable: true,
      })
    case 'busy':
      return new WeirError('SYNC_BUSY', 'too much is on its way to the store; wait and try again', {
        retryable: true,
      })
    case 'too-large':
      return new WeirError(
        'OPERATION_TOO_LARGE',
        'the operation does not fit into a frame of sync (frameBytesMax); split it',
      )
    case 'failed':
      return new WeirError('STORE_FAILED', 'the store did not keep the operation; try again', {
        retryable: true,
      })
    case 'gap':
      return new WeirError('LOG_GAP', 'the operation is not the next of its log')
    case 'fork':
      return new WeirError(
        'LOG_FORKED',
        'another operation stands at this place of the log: a second process may use the key',
      )
  }
}
