/** The checked-in corpus, and inputs near it: nothing throws, nothing is kept. `tests/quic-fuzz.ts` looks for more. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { seededRandom } from '../runtime/index.ts'
import { near, openTarget, readCorpus, TARGETS } from './fuzz.fixture.ts'

/** A connection is made for nearly each of the frames, and a handshake with real keys for each of the last two. */
const NEAR = Object.freeze({ datagram: 20, frames: 4, parameters: 20, client: 0, server: 0 })

for (const name of TARGETS) {
  test(`the corpus and inputs near it do no harm: ${name}`, () => {
    const inputs = readCorpus().filter(({ target }) => target === name)
    assert.ok(inputs.length >= 10, `${inputs.length} inputs`)
    const random = seededRandom(42)
    using target = openTarget(name)
    for (const { bytes } of inputs) {
      target.run(Uint8Array.from(bytes))
      for (let each = 0; each < NEAR[name]; each++) {
        const other = inputs[random.below(inputs.length)]!.bytes
        target.run(near(name, bytes, other, random))
      }
    }
  })
}
