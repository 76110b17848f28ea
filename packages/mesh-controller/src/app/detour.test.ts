import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeId } from 'weir-mesh/core'
import { Detour } from './detour.ts'

const node = (at: number) => new Uint8Array(32).fill(at) as NodeId

test('others are asked while a peer is away, less and less often, and closely again when another one goes', () => {
  let live = [1, 2, 3]
  let asked = 0
  const peers = function* () {
    for (const at of live)
      yield { peer: node(at), live: true, outbound: true, sessions: 1, queued: 0 }
  }
  const detour = new Detour({ peers, refresh: () => void asked++ }, [1, 2, 3].map(node))
  const steps = (count: number) => {
    const before = asked
    for (let step = 0; step < count; step++) detour.step()
    return asked - before
  }
  assert.equal(steps(10), 0)
  live = [1, 2]
  assert.equal(steps(2), 1)
  assert.equal(steps(15), 4)
  assert.equal(steps(600), 11)
  live = [1]
  assert.equal(steps(2), 1)
  live = []
  assert.equal(steps(100), 0)
  live = [1, 2, 3]
  assert.equal(steps(100), 0)
})
