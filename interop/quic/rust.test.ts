/** Weir's own QUIC with iroh in Rust. */
import { handshakeTests } from './handshakes.suite.ts'
import { idleTests } from './idle.suite.ts'
import { lossTests, moveTests } from './network.suite.ts'
import { RUST } from './sides.ts'
import { bulkTests, keyUpdateTests } from './streams.suite.ts'
import { violationTests } from './violations.suite.ts'

const stillThere = idleTests(RUST)
handshakeTests(RUST)
violationTests(RUST)
keyUpdateTests(RUST, 4)
moveTests(RUST)
lossTests(RUST, { light: 8, heavy: 4 })
bulkTests(RUST, 64)
stillThere()
