/** Weir's own QUIC with iroh in Rust. */
import { connectionTests } from './connections.suite.ts'
import { decisionTests } from './decisions.suite.ts'
import { endTests } from './ends.suite.ts'
import { handshakeTests } from './handshakes.suite.ts'
import { idleTests } from './idle.suite.ts'
import { lossTests, moveTests } from './network.suite.ts'
import { RUST, sharedPeer } from './sides.ts'
import { bulkTests, keyUpdateTests } from './streams.suite.ts'
import { violationTests } from './violations.suite.ts'

const stillThere = idleTests(RUST)
const peer = sharedPeer(RUST)
handshakeTests(RUST, peer)
decisionTests(RUST, peer)
endTests(RUST, peer)
violationTests(RUST, peer)
connectionTests(RUST, peer)
keyUpdateTests(RUST, peer, 2)
moveTests(RUST, peer)
lossTests(RUST, peer, { light: 8, heavy: 4 })
bulkTests(RUST, peer, { dials: 64, 'is dialled': 64 })
stillThere()
