/** Weir's own QUIC with the iroh binding for Node: what takes too long for every run. `npm run interop` runs it. */
import { idleTests } from './idle.suite.ts'
import { lossTests } from './network.suite.ts'
import { BINDING, LONG, sharedPeer } from './sides.ts'
import { bulkTests } from './streams.suite.ts'

const kind = { ...BINDING, skip: LONG }
const stillThere = idleTests(kind)
const peer = sharedPeer(kind)
// The binding itself takes 150 µs a KiB and end: 64 MiB each way are half a minute.
bulkTests(kind, peer, { dials: 64, 'is dialled': 16 })
lossTests(kind, peer, { light: 2, heavy: 1 })
stillThere()
