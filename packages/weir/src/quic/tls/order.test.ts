/** The state machine of both ends: one message may come at a time, in one level, however it is cut. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { concatBytes } from '../../codec/index.ts'
import type { Level } from '../contract.ts'
import { message, split } from './forge.fixture.ts'
import {
  CLIENT_PARAMETERS,
  client,
  clientPair,
  converse,
  type End,
  SERVER_PARAMETERS,
  server,
  serverPair,
} from './tls.fixture.ts'

/** What an honest peer sends, one message at a time. */
interface Step {
  readonly level: Level
  readonly message: Uint8Array
}

/** The steps towards each end of an honest handshake; with seeded randomness they are the same every time. */
function honest(): { readonly toClient: readonly Step[]; readonly toServer: readonly Step[] } {
  const [one, other] = [client(), server()]
  converse(one, other)
  const steps = (end: End) =>
    end.record.sent.flatMap(({ level, bytes }) =>
      split(bytes).map((each) => ({ level, message: each })),
    )
  return { toClient: steps(other), toServer: steps(one) }
}

const script = honest()
const roles = [
  ['client', client, script.toClient, 'newSessionTicket'],
  ['server', server, script.toServer, undefined],
] as const

const types = [0, 1, 2, 3, 4, 5, 8, 11, 12, 13, 14, 15, 16, 20, 21, 22, 23, 24, 67, 254, 255]

for (const [role, make, steps] of roles) {
  /** An end to which the first steps have come. */
  const after = (count: number): End => {
    const end = make()
    end.start()
    for (const step of steps.slice(0, count)) end.handle(step.level, step.message)
    assert.equal(end.record.failure, undefined, end.record.message)
    return end
  }

  test(`${role}: every other message is refused with 10 at every step, by its first byte`, () => {
    for (let at = 0; at < steps.length; at++) {
      const { level, message: expected } = steps[at]!
      for (const type of types) {
        if (type === expected[0]) continue
        const end = after(at)
        end.handle(level, Uint8Array.of(type))
        assert.equal(end.record.failure, 10, `type ${type} at step ${at}`)
        assert.equal(end.machine.heldBytes, 0)
      }
    }
  })

  test(`${role}: each message left out, or sent twice, is refused`, () => {
    for (let at = 0; at < steps.length; at++) {
      const skipped = after(at)
      const next = steps[at + 1]
      if (next) {
        skipped.handle(next.level, next.message)
        assert.equal(skipped.record.failure, 10, `without message ${at}`)
      }
      const twice = after(at + 1)
      twice.handle(steps[at]!.level, steps[at]!.message)
      // In a level that is over it is a violation of QUIC.
      const over = next?.level !== steps[at]!.level
      assert.equal(twice.record.failure, over ? 'violation' : 10, `message ${at} twice`)
    }
  })

  test(`${role}: bytes in a level that is yet to come are refused with 10, in one that is over as a violation`, () => {
    const order: readonly Level[] = ['initial', 'handshake', 'application']
    for (let at = 0; at < steps.length; at++) {
      const { level, message: expected } = steps[at]!
      for (const other of order) {
        const rank = order.indexOf(other) - order.indexOf(level)
        if (rank === 0) continue
        const end = after(at)
        end.handle(other, expected)
        assert.equal(end.record.failure, rank < 0 ? 'violation' : 10, `${other} at step ${at}`)
      }
    }
  })

  test(`${role}: a message that claims to be too large is refused before anything is held for it`, () => {
    for (let at = 0; at < steps.length; at++) {
      const { level, message: expected } = steps[at]!
      for (const [size, failure] of [
        [4_096 - 4, undefined],
        [4_096 - 3, 47],
        [0xff_ffff, 47],
      ] as const) {
        const end = after(at)
        const head = Uint8Array.of(expected[0]!, size >> 16, size >> 8, size)
        for (const byte of head) end.handle(level, Uint8Array.of(byte))
        assert.equal(end.record.failure, failure)
        assert.ok(end.machine.heldBytes <= (failure ? 0 : 4_096))
      }
    }
  })

  test(`${role}: after an alert or dispose it is deaf, and holds nothing`, () => {
    for (let at = 0; at <= steps.length; at++) {
      const failed = after(at)
      failed.handle('initial', message(254, new Uint8Array(3)))
      assert.notEqual(failed.record.failure, undefined)
      const disposed = after(at)
      const half = steps[at]
      if (half) disposed.handle(half.level, half.message.subarray(0, half.message.length - 1))
      disposed.machine[Symbol.dispose]()
      disposed.machine[Symbol.dispose]()
      for (const end of [failed, disposed]) {
        const { sent, keys } = end.record
        const before = [sent.length, keys.length, end.record.failure]
        for (const step of steps) end.handle(step.level, step.message)
        end.handle('application', Uint8Array.of(24))
        end.start()
        assert.deepEqual([sent.length, keys.length, end.record.failure], before)
        assert.equal(end.machine.heldBytes, 0)
      }
    }
  })
}

test('flights that are cut and joined in any way give the same handshake', () => {
  const whole = [client(), server()] as const
  converse(...whole)
  const cuts = fc.array(fc.integer({ min: 0, max: 600 }), { maxLength: 12 })
  fc.assert(
    fc.property(cuts, fc.boolean(), (at, bytewise) => {
      const [one, other] = [client(), server()]
      converse(one, other, (_, __, flight) => {
        if (bytewise) return Array.from(flight, (_, index) => flight.subarray(index, index + 1))
        const places = [0, ...at.filter((each) => each < flight.length), flight.length]
        places.sort((left, right) => left - right)
        return places.slice(1).map((end, index) => flight.subarray(places[index], end))
      })
      for (const [end, same] of [
        [one, whole[0]],
        [other, whole[1]],
      ] as const) {
        assert.deepEqual(end.record, same.record)
        assert.equal(end.machine.heldBytes, 0)
      }
    }),
    { numRuns: 60 },
  )
})

test('a view that is handed in may be overwritten afterwards', () => {
  const [one, other] = [client(), server()]
  converse(one, other, (_, __, flight) => {
    // One buffer for all pieces, as a datagram buffer is.
    const buffer = new Uint8Array(flight.length)
    const parts: Uint8Array[] = []
    for (let at = 0; at < flight.length; at += 7) parts.push(flight.slice(at, at + 7))
    return (function* () {
      for (const part of parts) {
        buffer.set(part)
        yield buffer.subarray(0, part.length)
        buffer.fill(0xee)
      }
    })() as unknown as readonly Uint8Array[]
  })
  assert.deepEqual(one.record.peer?.node, serverPair.id)
  assert.deepEqual(other.record.peer?.node, clientPair.id)
  assert.deepEqual(one.record.parameters, SERVER_PARAMETERS)
  assert.deepEqual(other.record.parameters, CLIENT_PARAMETERS)
})

/** One change of a flight. */
type Mutation =
  | { readonly kind: 'flip'; readonly at: number; readonly mask: number }
  | { readonly kind: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'remove' | 'repeat'; readonly at: number; readonly length: number }

const place = fc.nat({ max: 400 })
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({
    kind: fc.constant('flip' as const),
    at: place,
    mask: fc.integer({ min: 1, max: 255 }),
  }),
  fc.record({
    kind: fc.constant('insert' as const),
    at: place,
    bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  }),
  fc.record({
    kind: fc.constantFrom('remove' as const, 'repeat' as const),
    at: place,
    length: fc.integer({ min: 1, max: 60 }),
  }),
)

function mutate(flight: Uint8Array, change: Mutation): Uint8Array {
  const at = change.at % flight.length
  if (change.kind === 'flip') {
    const changed = flight.slice()
    changed[at]! ^= change.mask
    return changed
  }
  const [before, rest] = [flight.subarray(0, at), flight.subarray(at)]
  if (change.kind === 'insert') return concatBytes(before, change.bytes, rest)
  if (change.kind === 'remove') return concatBytes(before, rest.subarray(change.length))
  return concatBytes(before, rest.subarray(0, change.length), rest)
}

test('a flight that was changed never throws, never makes both ends agree, and holds no more than it may', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 5 }),
      fc.array(mutation, { minLength: 1, maxLength: 3 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 200 }),
      (target, changes, withoutShare, chunk) => {
        const [one, other] = [client({ withoutShare }), server()]
        let index = 0
        let changed = false
        converse(one, other, (_, __, flight) => {
          let sent = flight
          if (index++ === target) sent = changes.reduce(mutate, flight)
          if (Buffer.compare(sent, flight) !== 0) changed = true
          const parts: Uint8Array[] = []
          for (let at = 0; at < sent.length; at += chunk) parts.push(sent.subarray(at, at + chunk))
          return parts
        })
        for (const end of [one, other]) {
          assert.ok(end.machine.heldBytes <= 4_096)
          if (end.record.failure !== undefined) assert.equal(end.machine.heldBytes, 0)
        }
        const both = one.record.peer !== undefined && other.record.peer !== undefined
        if (!changed) assert.ok(both)
        // Bytes behind a Finished come too late to undo it.
        else if (both) assert.ok([one, other].some(({ record }) => record.failure === 'violation'))
        if (both) {
          const [ours, theirs] = [one.record.keys[1]!.secrets, other.record.keys[1]!.secrets]
          assert.deepEqual([ours.read, ours.write], [theirs.write, theirs.read])
        }
      },
    ),
    { numRuns: 400 },
  )
})

test('random bytes in any level end in an alert or are waited for', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(client, server),
      fc.nat({ max: 7 }),
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { minLength: 1, maxLength: 4 }),
      fc.constantFrom<Level>('initial', 'handshake', 'application'),
      fc.boolean(),
      (make, progress, noise, level, typed) => {
        const end = make()
        end.start()
        const steps = make === client ? script.toClient : script.toServer
        for (const step of steps.slice(0, progress)) end.handle(step.level, step.message)
        const next = steps[progress]
        // With the head of the message that is expected, so that its decoder is reached.
        const sent = typed && next ? [message(next.message[0]!, noise[0]!)] : noise
        for (const part of sent) end.handle(typed && next ? next.level : level, part)
        assert.ok(end.machine.heldBytes <= 4_096)
      },
    ),
    { numRuns: 600 },
  )
})
