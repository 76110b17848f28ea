/** The accounts of a connection whose machine is made without an endpoint. */
import type { Account, Term } from '../bounds/index.ts'
import type { ConnectionOptions } from './connection/connection-options.ts'
import type { QuicTerms } from './memory.ts'

export interface MachineAccounts extends Disposable {
  readonly accounts: Omit<ConnectionOptions['accounts'], 'datagrams'>
  readonly shared: { readonly ids: Account; readonly retryTokens: Account }
}

export function machineAccounts(terms: QuicTerms, open: (term: Term) => Account): MachineAccounts {
  const accounts = {
    streams: open(terms.streams),
    receive: open(terms.receive),
    send: open(terms.send),
    records: open(terms.records),
    gaps: open(terms.gaps),
    ackRanges: open(terms.ackRanges),
    crypto: open(terms.crypto),
  }
  const shared = { ids: open(terms.ids), retryTokens: open(terms.retryTokens) }
  return {
    accounts,
    shared,
    [Symbol.dispose]() {
      for (const each of [...Object.values(accounts), ...Object.values(shared)]) {
        each[Symbol.dispose]()
      }
    },
  }
}

/** For who has no endpoint that could be reset. */
export const noResets = Object.freeze({ expectReset() {}, forgetReset() {} })
