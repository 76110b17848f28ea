/** Handshakes that must fail, each with its alert (RFC 8446 section 6), whichever side notices. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { isWeirError } from 'weir-mesh/runtime'
import type { Fault } from './broken-tls.ts'
import type { PeerEnd, QuicPeer } from './peer.ts'
import { type Kind, ROLES, type Role, type SharedPeer, STRANGER } from './sides.ts'
import { type Weir, withWeir } from './weir-end.ts'

const CRYPTO = 0x100
const Alert = Object.freeze({
  handshakeFailure: 40,
  unknownCa: 48,
  decryptError: 51,
  certificateRequired: 116,
  noApplicationProtocol: 120,
})
const OTHER_PROTOCOL = new Uint8Array(32).fill(8)

/** What our side does wrong, in which role, and the alert that the peer must answer with. */
const FAULTS: readonly (readonly [Fault, Role, number])[] = Object.freeze([
  ['no client certificate type', 'dials', Alert.handshakeFailure],
  ['no server certificate type', 'dials', Alert.handshakeFailure],
  ['no client certificate type', 'is dialled', Alert.handshakeFailure],
  ['no server certificate type', 'is dialled', Alert.handshakeFailure],
  ['no client key', 'dials', Alert.certificateRequired],
  ['a forged signature', 'dials', Alert.decryptError],
  ['a forged signature', 'is dialled', Alert.decryptError],
])

export function violationTests(kind: Kind, shared: SharedPeer): void {
  const { skip } = kind
  const options = { skip, timeout: 60_000 }

  for (const role of ROLES) {
    test(`${kind.name}: Weir ${role}: another protocol is refused with alert 120`, options, () =>
      withWeir({}, async (weir) => {
        const peer = shared()
        const refused = (error: unknown) => isWeirError(error, 'PROTOCOL_REFUSED')
        if (role === 'dials') {
          await assert.rejects(weir.dial(peer.nodeId, peer.address, OTHER_PROTOCOL), refused)
          await noticed(kind, peer, 'accept_failed', 'us', Alert.noApplicationProtocol)
          assert.deepEqual(weir.tap.codes('peer'), [CRYPTO + Alert.noApplicationProtocol])
        } else {
          peer.dial(weir.nodeId, weir.address, OTHER_PROTOCOL)
          await assert.rejects((await weir.incoming()).accept(), refused)
          await noticed(kind, peer, 'connect_failed', 'peer', Alert.noApplicationProtocol)
          assertSaid(weir, 'us', Alert.noApplicationProtocol)
        }
      }),
    )

    test(`${kind.name}: Weir ${role}: another server key is refused with alert 48`, options, () =>
      withWeir({}, async (weir) => {
        const peer = shared()
        if (role === 'dials') {
          await assert.rejects(weir.dial(STRANGER, peer.address), (error: unknown) =>
            isWeirError(error, 'CONNECT_FAILED'),
          )
          await noticed(kind, peer, 'accept_failed', 'peer', Alert.unknownCa)
          assertSaid(weir, 'us', Alert.unknownCa)
        } else {
          peer.dial(STRANGER, weir.address)
          await ends((await weir.incoming()).accept())
          await noticed(kind, peer, 'connect_failed', 'us', Alert.unknownCa)
          assertSaid(weir, 'peer', Alert.unknownCa)
        }
      }),
    )
  }

  for (const [fault, role, alert] of FAULTS) {
    test(`${kind.name}: Weir ${role} with a fault: ${fault}: alert ${alert}`, options, () =>
      withWeir({ fault }, async (weir) => {
        const peer = shared()
        if (role === 'dials') {
          await ends(weir.dial(peer.nodeId, peer.address))
          await noticed(kind, peer, 'accept_failed', 'us', alert)
        } else {
          peer.dial(weir.nodeId, weir.address)
          await ends((await weir.incoming()).accept())
          await noticed(kind, peer, 'connect_failed', 'us', alert)
        }
        assertSaid(weir, 'peer', alert)
      }),
    )
  }
}

/** A handshake fails, or is through for us already and then ends: a client learns last what the server thinks of it. */
async function ends(handshake: ReturnType<Weir['dial']>): Promise<void> {
  const connection = await handshake.catch((error: unknown) => {
    assert.ok(isWeirError(error, 'CONNECT_FAILED'), String(error))
    return undefined
  })
  const close = await connection?.closed
  if (close) assert.notEqual(close.by, 'local')
}

async function noticed(
  kind: Kind,
  peer: QuicPeer,
  event: string,
  by: PeerEnd['by'],
  alert: number,
): Promise<void> {
  const { end } = await peer.take(event)
  if (!kind.precise) return
  const { transport, by: who } = end as PeerEnd
  assert.deepEqual({ by: who, transport }, { by, transport: CRYPTO + alert })
}

/** Said on the wire; one side may say it at each level of keys. */
function assertSaid(weir: Weir, by: 'us' | 'peer', alert: number): void {
  const codes = new Set(weir.tap.codes(by))
  assert.deepEqual([...codes], [CRYPTO + alert])
}
