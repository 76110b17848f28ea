/** Weir's own QUIC with the iroh binding for Node. What takes long is in binding-long.test.ts. */
import { connectionTests } from './connections.suite.ts'
import { decisionTests } from './decisions.suite.ts'
import { endTests } from './ends.suite.ts'
import { handshakeTests } from './handshakes.suite.ts'
import { moveTests } from './network.suite.ts'
import { BINDING, sharedPeer } from './sides.ts'
import { keyUpdateTests } from './streams.suite.ts'
import { violationTests } from './violations.suite.ts'

const peer = sharedPeer(BINDING)
handshakeTests(BINDING, peer)
decisionTests(BINDING, peer)
endTests(BINDING, peer)
violationTests(BINDING, peer)
connectionTests(BINDING, peer)
keyUpdateTests(BINDING, peer, 1)
moveTests(BINDING, peer)
