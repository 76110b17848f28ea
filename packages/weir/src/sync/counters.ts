/** The counters of sync, declared once: what the metrics show and the tests look at. */
import type { Counter, Counters } from '../runtime/index.ts'

const HELP = Object.freeze({
  sessions: 'Sync sessions that began.',
  failures: 'Sync sessions that ended with an error.',
  surplus: 'Sessions that were closed because another one with the same peer carries the topic.',
  incompatible: 'Peers that speak an older p2panda.',
  received: 'Operations received from peers.',
  sent: 'Operations sent to peers.',
  kept: 'Operations that were verified and kept.',
  duplicates: 'Operations received that were already here.',
  refused: 'Operations refused by the policy or for a body that does not fit.',
  bad: 'Operations with a header that cannot be read or a signature that is wrong.',
  gaps: 'Operations received ahead of their predecessor.',
  held_dropped: 'Operations dropped because the gossip buffer was full or they waited too long.',
  lock_expired: 'Locks of the gossip buffer that were ended by their deadline.',
  forks: 'Operations that contradict a kept one of the same log.',
  key_shared: 'Operations of our own key that this process did not write.',
  overflow: 'Times that a queue for a peer or a consumer was full, and the store took over.',
  holes: 'Ranges not sent because their beginning is no longer in the store.',
  too_long:
    'Operations in the store that are longer than a frame of this plan, so that peers do not get them.',
  skipped:
    'Operations that were gone from the store before the consumer had them, or too long for its queue.',
  logs_full: 'Operations dropped because the topic has its most logs.',
  resyncs: 'Sessions that were begun anew to fetch what was lost.',
  retries: 'Attempts to reach a peer that failed.',
} as const)

export type SyncCounters = { readonly [name in keyof typeof HELP]: Counter }

export function syncCounters(counters: Counters): SyncCounters {
  const all = Object.entries(HELP).map(
    ([name, help]) => [name, counters.counter(`sync_${name}_total`, help)] as const,
  )
  return Object.freeze(Object.fromEntries(all)) as SyncCounters
}
