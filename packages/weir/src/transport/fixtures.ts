/** Two endpoints of the memory backend on a network whose clock stands still, and a peer that breaks the rules. */
import assert from 'node:assert/strict'
import { withLedger } from '../../testing/index.ts'
import type { Ledger } from '../bounds/index.ts'
import { KeyPair } from '../core/index.ts'
import { isWeirError, ManualClock, type Scope } from '../runtime/index.ts'
import { FixedAddresses } from './addresses.ts'
import { nextIncoming, TEST_PROTOCOL } from './conformance-pair.suite.ts'
import {
  type TransportLimits,
  type TransportTerms,
  transportLimits,
  transportTerms,
} from './memory.ts'
import { MemoryEndpoint } from './memory-endpoint.ts'
import { MemoryNetwork, type NetworkFaults } from './memory-network.ts'
import type { Connection } from './transport.ts'
import type { Wire } from './wire.ts'

export interface Setting {
  readonly network: MemoryNetwork
  readonly clock: ManualClock
  readonly ledger: Ledger
  readonly scope: Scope
  readonly terms: TransportTerms
  readonly a: MemoryEndpoint
  readonly b: MemoryEndpoint
  /** Another endpoint on the network, with limits of its own when given. */
  open(limits?: Partial<TransportLimits>): MemoryEndpoint
  connect(from?: MemoryEndpoint, to?: MemoryEndpoint): Promise<[Connection, Connection]>
}

export async function withNetwork(
  limits: Partial<TransportLimits>,
  run: (setting: Setting) => Promise<void>,
  faults: NetworkFaults = {},
): Promise<void> {
  const complete = transportLimits({ endpointsMax: 3, ...limits })
  const terms = transportTerms(complete)
  const clock = new ManualClock()
  await withLedger(
    Object.values(terms),
    async (ledger, scope) => {
      const network = scope.own('network', new MemoryNetwork({ clock, faults }))
      const open = (own: Partial<TransportLimits> = {}) =>
        new MemoryEndpoint({
          ...{ scope, ledger, terms, network, protocols: [TEST_PROTOCOL] },
          limits: { ...complete, ...own },
          nodeId: KeyPair.generate().id,
          lookup: new FixedAddresses([]),
        })
      const [a, b] = [open(), open()]
      const connect = async (from = a, to = b): Promise<[Connection, Connection]> => {
        const dial = from.connect(to.nodeId, TEST_PROTOCOL, { addresses: to.localAddresses })
        return Promise.all([dial, nextIncoming(to).then((incoming) => incoming.accept())])
      }
      await run({ network, clock, ledger, scope, terms, a, b, open, connect })
      await a.close()
      await b.close()
      assert.equal(network.links, 0, 'wires left on the network')
    },
    { clock },
  )
}

export const turns = async () => {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
}

export const coded = (code: string, what?: RegExp) => (error: unknown) => {
  assert.ok(isWeirError(error, code), String(error))
  if (what) assert.match(error.message, what)
  return true
}

/** A peer that speaks the wire itself, and so may say what it must not. */
export function rawDial(network: MemoryNetwork, to: MemoryEndpoint) {
  let wire: Wire | undefined
  const dial = new Promise<void>((resolve) => {
    network.dial(to.address, {
      from: KeyPair.generate().id,
      fromAddress: '127.0.0.1:1',
      to: to.nodeId,
      protocol: TEST_PROTOCOL,
      validated: false,
      answered(_answer, attach) {
        wire = attach!({
          receive: (message) => {
            if (message.type === 'close') wire?.close()
          },
          lost: () => {},
        })
        resolve()
      },
    })
  })
  return { wire: () => wire!, dial }
}
