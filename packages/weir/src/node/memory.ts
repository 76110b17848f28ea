/** What a node holds beside its parts: who is connected, and handshakes that run. */
import {
  MAP_NODE_BYTES,
  OBJECT_BYTES,
  PROMISE_BYTES,
  STRING_SHELL_BYTES,
  type Terms,
  term,
} from '../bounds/index.ts'
import { ID_BYTES } from '../core/index.ts'

export interface AcceptLimits {
  /** Handshakes of incoming connections that run at once. Default 16; more are refused. */
  readonly handshakesMax?: number
  /** Peers with an accepted connection. Default 64; connections of more are closed. */
  readonly peersMax?: number
}

export type AcceptTerms = Terms<'handshakes' | 'peers'>

export function acceptTerms(limits: AcceptLimits = {}): AcceptTerms {
  return {
    handshakes: term({
      name: 'node.handshakes',
      why: 'handshakes of incoming connections that run',
      entriesMax: limits.handshakesMax ?? 16,
      shellBytes: 8 * OBJECT_BYTES + 4 * PROMISE_BYTES,
      shedAt: 2,
    }),
    peers: term({
      name: 'node.peers',
      why: 'peers with an accepted connection, and how many each has',
      table: 'map',
      entriesMax: limits.peersMax ?? 64,
      shellBytes: MAP_NODE_BYTES + STRING_SHELL_BYTES + ID_BYTES + PROMISE_BYTES,
      shedAt: 2,
    }),
  }
}
