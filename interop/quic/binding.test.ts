/** Weir's own QUIC with the iroh binding for Node. What takes long is in binding-long.test.ts. */
import { handshakeTests } from './handshakes.suite.ts'
import { moveTests } from './network.suite.ts'
import { BINDING } from './sides.ts'
import { keyUpdateTests } from './streams.suite.ts'
import { violationTests } from './violations.suite.ts'

handshakeTests(BINDING)
violationTests(BINDING)
keyUpdateTests(BINDING, 2)
moveTests(BINDING)
